// SPDX-License-Identifier: GPL-2.0
/* A PCI driver all of whose resources are managed: it has no remove, and needs none. */
//#Options: --probe
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/pci.h>

static irqreturn_t light_irq(int irq, void *data)
{
	return IRQ_NONE;
}

static int light_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	int error = pcim_enable_device(pdev);

	if (error)
		return error;
	error = pcim_iomap_regions(pdev, BIT(0) | BIT(2), "lkm-light");
	if (error)
		return error;
	if (!pcim_iomap_table(pdev)[2])
		return -ENOMEM;
	iowrite32(5, pcim_iomap_table(pdev)[0] + 4);
	if (ioread32(pcim_iomap_table(pdev)[0] + 4) != 5)
		return -EIO;
	return devm_request_irq(&pdev->dev, pdev->irq, light_irq, IRQF_SHARED, "lkm-light", pdev);
}

static const struct pci_device_id light_ids[] = { { PCI_DEVICE_CLASS(0x0c0310, ~0) }, { } };
MODULE_DEVICE_TABLE(pci, light_ids);

static struct pci_driver light_driver = {
	.name = "lkm-light",
	.id_table = light_ids,
	.probe = light_probe,
};
module_pci_driver(light_driver);
MODULE_DESCRIPTION("managed from end to end");
MODULE_LICENSE("GPL");
