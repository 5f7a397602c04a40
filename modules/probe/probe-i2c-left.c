// SPDX-License-Identifier: GPL-2.0
/* An I2C driver whose remove does not wait for its work. */
//#Options: --probe
//#Verdict: findings
//#Expect: left-running "work"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/i2c.h>
#include <linux/module.h>
#include <linux/workqueue.h>

static void sensor_poll(struct work_struct *work)
{
}

static DECLARE_DELAYED_WORK(poll, sensor_poll);

static int sensor_probe(struct i2c_client *client)
{
	int value;

	if (!i2c_check_functionality(client->adapter, I2C_FUNC_SMBUS_BYTE_DATA))
		return -ENODEV;
	value = i2c_smbus_write_byte_data(client, 3, 0x5a);
	if (value < 0)
		return value;
	value = i2c_smbus_read_byte_data(client, 3);
	if (value != 0x5a)
		return -EIO;
	schedule_delayed_work(&poll, 600 * HZ);
	return 0;
}

static const struct i2c_device_id sensor_ids[] = { { "lkm-sensor", 0 }, { } };
MODULE_DEVICE_TABLE(i2c, sensor_ids);

static struct i2c_driver sensor_driver = {
	.driver = { .name = "lkm-sensor" },
	.probe_new = sensor_probe,
	.id_table = sensor_ids,
};
module_i2c_driver(sensor_driver);
MODULE_DESCRIPTION("its work outlives it");
MODULE_LICENSE("GPL");
