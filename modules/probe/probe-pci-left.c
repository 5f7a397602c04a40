// SPDX-License-Identifier: GPL-2.0
/* A PCI driver that leaves its regions requested when the interrupt is refused, and its vectors when it leaves. */
//#Options: --probe
//#Verdict: findings
//#Expect: left-registered "region"
//#Expect: left-registered "irq vectors"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/pci.h>

static irqreturn_t wire_irq(int irq, void *data)
{
	return IRQ_NONE;
}

static int wire_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	int error = pci_enable_device(pdev);

	if (error)
		return error;
	error = pci_request_regions(pdev, "lkm-wire");
	if (error)
		goto disable;
	error = pci_alloc_irq_vectors(pdev, 1, 1, PCI_IRQ_MSI);
	if (error < 0)
		goto regions;
	error = request_irq(pci_irq_vector(pdev, 0), wire_irq, 0, "lkm-wire", pdev);
	if (error) {
		pci_free_irq_vectors(pdev);
		goto disable;
	}
	return 0;
regions:
	pci_release_regions(pdev);
disable:
	pci_disable_device(pdev);
	return error;
}

static void wire_remove(struct pci_dev *pdev)
{
	free_irq(pci_irq_vector(pdev, 0), pdev);
	pci_release_regions(pdev);
	pci_disable_device(pdev);
}

static const struct pci_device_id wire_ids[] = { { PCI_DEVICE(0x1af4, PCI_ANY_ID) }, { } };
MODULE_DEVICE_TABLE(pci, wire_ids);

static struct pci_driver wire_driver = {
	.name = "lkm-wire",
	.id_table = wire_ids,
	.probe = wire_probe,
	.remove = wire_remove,
};
module_pci_driver(wire_driver);
MODULE_DESCRIPTION("leaves regions on one way out, and vectors");
MODULE_LICENSE("GPL");
