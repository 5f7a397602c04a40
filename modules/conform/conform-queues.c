// SPDX-License-Identifier: GPL-2.0
/* Queues: kfifo in all its forms, and queues of socket buffers; attributes of messages; a stream cipher's block. */
//#Conforms: __kfifo_alloc __kfifo_free __kfifo_init __kfifo_in __kfifo_out __kfifo_out_peek
//#Conforms: __kfifo_in_r __kfifo_out_r __kfifo_len_r __kfifo_skip_r
//#Conforms: skb_queue_tail skb_queue_head skb_dequeue skb_dequeue_tail skb_queue_purge skb_unlink
//#Conforms: nla_put nla_reserve nla_memcpy nla_strscpy __nlmsg_put
//#Conforms: chacha_block_generic hchacha_block_generic __crypto_memneq
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0
#include <crypto/algapi.h>
#include <crypto/chacha.h>
#include <linux/kfifo.h>
#include <linux/skbuff.h>
#include <net/netlink.h>
#include "check.h"

static int check_fifo(void)
{
	DECLARE_KFIFO_PTR(fifo, u16);
	u16 in[10] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, out[10];
	u16 one;

	CHECK(!kfifo_alloc(&fifo, 6, GFP_KERNEL));
	CHECK(kfifo_size(&fifo) == 8 && kfifo_is_empty(&fifo));
	CHECK(kfifo_in(&fifo, in, 10) == 8 && kfifo_is_full(&fifo));
	CHECK(kfifo_out_peek(&fifo, out, 2) == 2 && out[1] == 2 && kfifo_len(&fifo) == 8);
	CHECK(kfifo_out(&fifo, out, 5) == 5 && out[4] == 5);
	CHECK(kfifo_in(&fifo, in, 4) == 4 && kfifo_len(&fifo) == 7);
	CHECK(kfifo_out(&fifo, out, 10) == 7 && out[2] == 8 && out[3] == 1 && out[6] == 4);
	CHECK(!kfifo_get(&fifo, &one) && kfifo_put(&fifo, 77) && kfifo_get(&fifo, &one) && one == 77);
	kfifo_free(&fifo);
	return 0;
}

static u8 store[24];

static int check_buffer(void)
{
	struct kfifo fifo;
	u8 out[8];

	CHECK(!kfifo_init(&fifo, store, sizeof(store)));
	CHECK(kfifo_size(&fifo) == 16);
	CHECK(kfifo_in(&fifo, "abc", 3) == 3 && kfifo_out(&fifo, out, 8) == 3 && out[2] == 'c');
	return 0;
}

static int check_records(void)
{
	struct kfifo_rec_ptr_1 fifo;
	char out[20];

	CHECK(!kfifo_alloc(&fifo, 32, GFP_KERNEL));
	CHECK(kfifo_in(&fifo, "one", 3) == 3 && kfifo_in(&fifo, "three", 5) == 5);
	CHECK(kfifo_in(&fifo, "four", 4) == 4 && kfifo_peek_len(&fifo) == 3);
	CHECK(kfifo_out(&fifo, out, sizeof(out)) == 3 && !memcmp(out, "one", 3));
	kfifo_skip(&fifo);
	CHECK(kfifo_out(&fifo, out, 2) == 2 && !memcmp(out, "fo", 2) && kfifo_is_empty(&fifo));
	kfifo_free(&fifo);
	return 0;
}

static int check_buffers(void)
{
	struct sk_buff_head queue;
	struct sk_buff *skb[4];
	int n;

	skb_queue_head_init(&queue);
	for (n = 0; n < 4; n++) {
		skb[n] = alloc_skb(64, GFP_KERNEL);
		CHECK(skb[n]);
	}
	CHECK(!skb_dequeue(&queue));
	skb_queue_tail(&queue, skb[0]);
	skb_queue_tail(&queue, skb[1]);
	skb_queue_head(&queue, skb[2]);
	skb_queue_tail(&queue, skb[3]);
	CHECK(skb_queue_len(&queue) == 4 && skb_peek(&queue) == skb[2]);
	skb_unlink(skb[0], &queue);
	CHECK(skb_dequeue(&queue) == skb[2] && skb_dequeue_tail(&queue) == skb[3]);
	CHECK(skb_queue_len(&queue) == 1 && skb_peek(&queue) == skb[1]);
	skb_queue_purge(&queue);
	CHECK(skb_queue_empty(&queue));
	kfree_skb(skb[0]);
	kfree_skb(skb[2]);
	kfree_skb(skb[3]);
	return 0;
}

static int check_attributes(void)
{
	struct sk_buff *skb = nlmsg_new(64, GFP_KERNEL);
	struct nlattr *first, *second;
	struct nlmsghdr *head;
	char text[6];
	u32 value = 0;

	CHECK(skb);
	head = nlmsg_put(skb, 5, 6, 0x20, 4, NLM_F_MULTI);
	CHECK(head && head->nlmsg_len == 20 && head->nlmsg_pid == 5 && head->nlmsg_seq == 6);
	CHECK(!nla_put_u32(skb, 3, 0xabcd) && !nla_put_string(skb, 4, "words"));
	CHECK(nla_put(skb, 5, 4096, text) == -EMSGSIZE && !nla_reserve(skb, 5, 4096));
	first = nlmsg_attrdata(head, 4);
	CHECK(first->nla_len == 8 && first->nla_type == 3);
	CHECK(nla_memcpy(&value, first, sizeof(value)) == 4 && value == 0xabcd);
	second = (void *)first + NLA_ALIGN(first->nla_len);
	CHECK(second->nla_type == 4 && nla_strscpy(text, second, sizeof(text)) == 5);
	CHECK(!strcmp(text, "words") && nla_strscpy(text, second, 3) == -E2BIG && !strcmp(text, "wo"));
	nlmsg_free(skb);
	return 0;
}

/* RFC 8439, 2.3.2, and draft-irtf-cfrg-xchacha, 2.2.1. */
static int check_cipher(void)
{
	u32 state[16] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, 0x03020100, 0x07060504,
			  0x0b0a0908, 0x0f0e0d0c, 0x13121110, 0x17161514, 0x1b1a1918, 0x1f1e1d1c,
			  1, 0x09000000, 0x4a000000, 0 };
	u32 key[8];
	u8 stream[64];

	chacha_block_generic(state, stream, 20);
	CHECK(stream[0] == 0x10 && stream[3] == 0xe4 && stream[63] == 0x4e && state[12] == 2);
	state[12] = 0x09000000;
	state[13] = 0x4a000000;
	state[14] = 0;
	state[15] = 0x27594131;
	hchacha_block_generic(state, key, 20);
	CHECK(key[0] == 0x423b4182 && key[7] == 0xdcecd326);
	CHECK(!crypto_memneq("same", "same", 4) && crypto_memneq("same", "sane", 4));
	return 0;
}

CHECKS(check_fifo, check_buffer, check_records, check_buffers, check_attributes, check_cipher);
