// SPDX-License-Identifier: GPL-2.0
/* A PCI driver with regions, a mapping, a coherent buffer and message interrupts: correct, on each way out. */
//#Options: --probe
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>

#define RING 4096

struct card {
	void __iomem *bar;
	void *ring;
	dma_addr_t where;
};

static irqreturn_t card_irq(int irq, void *data)
{
	return IRQ_HANDLED;
}

static int card_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct card *card;
	u16 vendor, command;
	int error;

	if (id->driver_data != 7)
		return -EINVAL;
	pci_read_config_word(pdev, PCI_VENDOR_ID, &vendor);
	if (vendor != pdev->vendor)
		return -EIO;
	card = kzalloc(sizeof(*card), GFP_KERNEL);
	if (!card)
		return -ENOMEM;
	error = pci_enable_device(pdev);
	if (error)
		goto free;
	pci_set_master(pdev);
	pci_read_config_word(pdev, PCI_COMMAND, &command);
	if (!(command & PCI_COMMAND_MASTER)) {
		error = -EIO;
		goto disable;
	}
	error = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (error)
		goto disable;
	error = pci_request_regions(pdev, "lkm-card");
	if (error)
		goto disable;
	card->bar = pci_iomap(pdev, 0, 0);
	if (!card->bar) {
		error = -ENOMEM;
		goto regions;
	}
	card->ring = dma_alloc_coherent(&pdev->dev, RING, &card->where, GFP_KERNEL);
	if (!card->ring) {
		error = -ENOMEM;
		goto unmap;
	}
	error = pci_alloc_irq_vectors(pdev, 1, 2, PCI_IRQ_ALL_TYPES);
	if (error < 0)
		goto ring;
	error = request_irq(pci_irq_vector(pdev, 0), card_irq, 0, "lkm-card", card);
	if (error)
		goto vectors;
	pci_set_drvdata(pdev, card);
	return 0;
vectors:
	pci_free_irq_vectors(pdev);
ring:
	dma_free_coherent(&pdev->dev, RING, card->ring, card->where);
unmap:
	pci_iounmap(pdev, card->bar);
regions:
	pci_release_regions(pdev);
disable:
	pci_disable_device(pdev);
free:
	kfree(card);
	return error;
}

static void card_remove(struct pci_dev *pdev)
{
	struct card *card = pci_get_drvdata(pdev);

	free_irq(pci_irq_vector(pdev, 0), card);
	pci_free_irq_vectors(pdev);
	dma_free_coherent(&pdev->dev, RING, card->ring, card->where);
	pci_iounmap(pdev, card->bar);
	pci_release_regions(pdev);
	pci_disable_device(pdev);
	kfree(card);
}

static const struct pci_device_id card_ids[] = {
	{ PCI_DEVICE(0x1af4, 0x10f7), .driver_data = 7 },
	{ }
};
MODULE_DEVICE_TABLE(pci, card_ids);

static struct pci_driver card_driver = {
	.name = "lkm-card",
	.id_table = card_ids,
	.probe = card_probe,
	.remove = card_remove,
};
module_pci_driver(card_driver);
MODULE_DESCRIPTION("a card that gives everything back");
MODULE_LICENSE("GPL");
