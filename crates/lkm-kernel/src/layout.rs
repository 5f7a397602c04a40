//! Where the members are that both sides touch: every offset comes from the types of the module or its
//! kernel, asked once at boot. A member that the kernel at hand does not have is reported by name.

/// Answers questions about C types: BTF, DWARF, or the built-in tables.
pub trait Types {
    /// Bytes of `struct name`.
    fn struct_size(&self, name: &str) -> Option<u64>;
    /// Byte offset of a member, by dotted path.
    fn offset_of(&self, name: &str, path: &str) -> Option<u64>;
}

macro_rules! offsets {
    (required { $($(#[$d:meta])* $field:ident = $strukt:literal . $path:literal;)* }
     sizes { $($size:ident = $sstruct:literal;)* }
     optional { $($ofield:ident = $ostruct:literal . $opath:literal;)* }
     stable { $($xfield:ident = $xstruct:literal . $xpath:literal or $xvalue:literal;)* }) => {
        /// Offsets and sizes; the names say struct_member. `NONE` marks a member that is not there.
        #[derive(Debug, Clone, Copy)]
        #[allow(missing_docs, reason = "each field is the offset of the member it is named after")]
        pub struct Offsets {
            $(pub $field: u64,)* $(pub $size: u64,)* $(pub $ofield: u64,)* $(pub $xfield: u64,)*
            /// Offset of `current_task` in the per-CPU area (set at boot).
            pub current_task: u64,
            /// Offset of `__preempt_count` in the per-CPU area (set at boot).
            pub preempt_count: u64,
        }
        impl Offsets {
            /// Asks `types` for everything. The error names what is missing.
            pub fn new(types: &dyn Types) -> Result<Offsets, String> {
                Ok(Offsets {
                    $($field: types.offset_of($strukt, $path).ok_or_else(|| format!("no type information for {}.{}", $strukt, $path))?,)*
                    $($size: types.struct_size($sstruct).ok_or_else(|| format!("no type information for struct {}", $sstruct))?,)*
                    $($ofield: types.offset_of($ostruct, $opath).unwrap_or(NONE),)*
                    $($xfield: types.offset_of($xstruct, $xpath).unwrap_or($xvalue),)*
                    current_task: 0,
                    preempt_count: 0,
                })
            }
        }
    };
}

/// The offset of a member that does not exist.
pub const NONE: u64 = u64::MAX;

offsets! {
    required {
        task_stack = "task_struct"."stack";
        task_state = "task_struct"."__state";
        task_flags = "task_struct"."flags";
        task_pid = "task_struct"."pid";
        task_tgid = "task_struct"."tgid";
        task_comm = "task_struct"."comm";
        task_usage = "task_struct"."usage";
        task_thread_info_flags = "task_struct"."thread_info.flags";
        module_state = "module"."state";
        module_list = "module"."list";
        module_name = "module"."name";
        module_mkobj = "module"."mkobj";
        module_init = "module"."init";
        module_exit = "module"."exit";
        module_refcnt = "module"."refcnt";
        module_source_list = "module"."source_list";
        module_target_list = "module"."target_list";
        module_args = "module"."args";
        module_taints = "module"."taints";
        file_f_inode = "file"."f_inode";
        file_f_op = "file"."f_op";
        file_f_count = "file"."f_count";
        file_f_flags = "file"."f_flags";
        file_f_mode = "file"."f_mode";
        file_f_pos = "file"."f_pos";
        file_f_mapping = "file"."f_mapping";
        file_f_path = "file"."f_path";
        file_private_data = "file"."private_data";
        vma_vm_start = "vm_area_struct"."vm_start";
        vma_vm_end = "vm_area_struct"."vm_end";
        vma_vm_flags = "vm_area_struct"."vm_flags";
        vma_vm_ops = "vm_area_struct"."vm_ops";
        vma_vm_pgoff = "vm_area_struct"."vm_pgoff";
        vma_vm_file = "vm_area_struct"."vm_file";
        vm_ops_close = "vm_operations_struct"."close";
        inode_i_mode = "inode"."i_mode";
        inode_i_rdev = "inode"."i_rdev";
        inode_i_fop = "inode"."i_fop";
        inode_i_cdev = "inode"."i_cdev";
        inode_i_private = "inode"."i_private";
        inode_i_size = "inode"."i_size";
        inode_i_ino = "inode"."i_ino";
        inode_i_nlink = "inode"."i_nlink";
        inode_i_sb = "inode"."i_sb";
        inode_i_count = "inode"."i_count";
        inode_i_devices = "inode"."i_devices";
        inode_i_mapping = "inode"."i_mapping";
        inode_i_data = "inode"."i_data";
        dentry_d_inode = "dentry"."d_inode";
        dentry_d_name = "dentry"."d_name";
        dentry_d_sb = "dentry"."d_sb";
        fops_owner = "file_operations"."owner";
        fops_llseek = "file_operations"."llseek";
        fops_read = "file_operations"."read";
        fops_write = "file_operations"."write";
        fops_poll = "file_operations"."poll";
        fops_ioctl = "file_operations"."unlocked_ioctl";
        fops_mmap = "file_operations"."mmap";
        fops_open = "file_operations"."open";
        fops_flush = "file_operations"."flush";
        fops_release = "file_operations"."release";
        kobject_name = "kobject"."name";
        kobject_entry = "kobject"."entry";
        kobject_parent = "kobject"."parent";
        kobject_kset = "kobject"."kset";
        kobject_ktype = "kobject"."ktype";
        kobject_sd = "kobject"."sd";
        kobject_kref = "kobject"."kref";
        kset_kobj = "kset"."kobj";
        kset_list = "kset"."list";
        ktype_release = "kobj_type"."release";
        ktype_sysfs_ops = "kobj_type"."sysfs_ops";
        ktype_default_groups = "kobj_type"."default_groups";
        cdev_owner = "cdev"."owner";
        cdev_ops = "cdev"."ops";
        cdev_list = "cdev"."list";
        cdev_dev = "cdev"."dev";
        cdev_count = "cdev"."count";
        misc_minor = "miscdevice"."minor";
        misc_name = "miscdevice"."name";
        misc_fops = "miscdevice"."fops";
        misc_list = "miscdevice"."list";
        misc_parent = "miscdevice"."parent";
        misc_this_device = "miscdevice"."this_device";
        misc_groups = "miscdevice"."groups";
        misc_nodename = "miscdevice"."nodename";
        device_kobj = "device"."kobj";
        device_parent = "device"."parent";
        device_p = "device"."p";
        device_init_name = "device"."init_name";
        device_type = "device"."type";
        device_bus = "device"."bus";
        device_driver = "device"."driver";
        device_driver_data = "device"."driver_data";
        device_platform_data = "device"."platform_data";
        device_devt = "device"."devt";
        device_id = "device"."id";
        device_devres_head = "device"."devres_head";
        device_class = "device"."class";
        device_groups = "device"."groups";
        device_release = "device"."release";
        device_mutex = "device"."mutex";
        device_dma_mask = "device"."dma_mask";
        device_coherent_dma_mask = "device"."coherent_dma_mask";
        device_numa_node = "device"."numa_node";
        class_name = "class"."name";
        class_dev_groups = "class"."dev_groups";
        class_devnode = "class"."devnode";
        class_release = "class"."class_release";
        class_dev_release = "class"."dev_release";
        bus_name = "bus_type"."name";
        bus_groups = "bus_type"."bus_groups";
        bus_dev_groups = "bus_type"."dev_groups";
        bus_drv_groups = "bus_type"."drv_groups";
        bus_match = "bus_type"."match";
        bus_probe = "bus_type"."probe";
        bus_remove = "bus_type"."remove";
        driver_name = "device_driver"."name";
        driver_bus = "device_driver"."bus";
        driver_owner = "device_driver"."owner";
        driver_of_match = "device_driver"."of_match_table";
        driver_probe = "device_driver"."probe";
        driver_remove = "device_driver"."remove";
        driver_groups = "device_driver"."groups";
        driver_dev_groups = "device_driver"."dev_groups";
        pdev_name = "platform_device"."name";
        pdev_id = "platform_device"."id";
        pdev_dev = "platform_device"."dev";
        pdev_dma_mask = "platform_device"."platform_dma_mask";
        pdev_num_resources = "platform_device"."num_resources";
        pdev_resource = "platform_device"."resource";
        pdev_id_entry = "platform_device"."id_entry";
        pdev_override = "platform_device"."driver_override";
        pdrv_probe = "platform_driver"."probe";
        pdrv_remove = "platform_driver"."remove";
        pdrv_driver = "platform_driver"."driver";
        pdrv_id_table = "platform_driver"."id_table";
        seq_buf = "seq_file"."buf";
        seq_size = "seq_file"."size";
        seq_from = "seq_file"."from";
        seq_count = "seq_file"."count";
        seq_index = "seq_file"."index";
        seq_op = "seq_file"."op";
        seq_file_ptr = "seq_file"."file";
        seq_private = "seq_file"."private";
        proc_open = "proc_ops"."proc_open";
        proc_read = "proc_ops"."proc_read";
        proc_write = "proc_ops"."proc_write";
        proc_release = "proc_ops"."proc_release";
        proc_lseek = "proc_ops"."proc_lseek";
        proc_ioctl = "proc_ops"."proc_ioctl";
        input_name = "input_dev"."name";
        input_dev = "input_dev"."dev";
        input_open = "input_dev"."open";
        input_close = "input_dev"."close";
        input_evbit = "input_dev"."evbit";
        skb_sk = "sk_buff"."sk";
        skb_cb = "sk_buff"."cb";
        skb_len = "sk_buff"."len";
        skb_tail = "sk_buff"."tail";
        skb_end = "sk_buff"."end";
        skb_head = "sk_buff"."head";
        skb_data = "sk_buff"."data";
        skb_truesize = "sk_buff"."truesize";
        skb_users = "sk_buff"."users";
        netlink_cfg_input = "netlink_kernel_cfg"."input";
        netlink_cfg_bind = "netlink_kernel_cfg"."bind";
        netlink_cb_portid = "netlink_skb_parms"."portid";
        family_family = "net_proto_family"."family";
        family_create = "net_proto_family"."create";
        family_owner = "net_proto_family"."owner";
        proto_owner = "proto"."owner";
        proto_obj_size = "proto"."obj_size";
        proto_ops_owner = "proto_ops"."owner";
        proto_ops_release = "proto_ops"."release";
        socket_type = "socket"."type";
        socket_sk = "socket"."sk";
        socket_ops = "socket"."ops";
        sock_prot = "sock"."__sk_common.skc_prot";
        sock_refcnt = "sock"."__sk_common.skc_refcnt";
        sock_socket = "sock"."sk_socket";
        subprocess_path = "subprocess_info"."path";
        subprocess_argv = "subprocess_info"."argv";
        subprocess_envp = "subprocess_info"."envp";
        subprocess_init = "subprocess_info"."init";
        subprocess_cleanup = "subprocess_info"."cleanup";
        subprocess_data = "subprocess_info"."data";
        fs_type_name = "file_system_type"."name";
        fs_type_owner = "file_system_type"."owner";
        fs_type_next = "file_system_type"."next";
        fs_type_flags = "file_system_type"."fs_flags";
        fs_type_init_fs_context = "file_system_type"."init_fs_context";
        fs_type_mount = "file_system_type"."mount";
        fs_type_kill_sb = "file_system_type"."kill_sb";
        fc_ops = "fs_context"."ops";
        fc_fs_type = "fs_context"."fs_type";
        fc_root = "fs_context"."root";
        fc_source = "fs_context"."source";
        fc_s_fs_info = "fs_context"."s_fs_info";
        fc_sb_flags = "fs_context"."sb_flags";
        fc_op_free = "fs_context_operations"."free";
        fc_op_get_tree = "fs_context_operations"."get_tree";
        super_blocksize = "super_block"."s_blocksize";
        super_type = "super_block"."s_type";
        super_op = "super_block"."s_op";
        super_flags = "super_block"."s_flags";
        super_magic = "super_block"."s_magic";
        super_root = "super_block"."s_root";
        super_count = "super_block"."s_count";
        super_active = "super_block"."s_active";
        super_fs_info = "super_block"."s_fs_info";
        super_op_put_super = "super_operations"."put_super";
        ctl_procname = "ctl_table"."procname";
        ctl_data = "ctl_table"."data";
        ctl_maxlen = "ctl_table"."maxlen";
        ctl_mode = "ctl_table"."mode";
        ctl_handler = "ctl_table"."proc_handler";
        ctl_extra1 = "ctl_table"."extra1";
        ctl_extra2 = "ctl_table"."extra2";
    }
    sizes {
        vma_size = "vm_area_struct";
        task_size = "task_struct";
        module_size = "module";
        file_size = "file";
        inode_size = "inode";
        dentry_size = "dentry";
        super_size = "super_block";
        fc_size = "fs_context";
        fs_type_size = "file_system_type";
        kobject_size = "kobject";
        kset_size = "kset";
        cdev_size = "cdev";
        device_size = "device";
        class_size = "class";
        pdev_size = "platform_device";
        seq_file_size = "seq_file";
        input_dev_size = "input_dev";
        ctl_size = "ctl_table";
        netdev_size = "net_device";
        netdev_queue_size = "netdev_queue";
        skb_size = "sk_buff";
        sock_size = "sock";
        socket_size = "socket";
        subprocess_size = "subprocess_info";
    }
    optional {
        fops_flags = "file_operations"."fop_flags";
        module_core_base = "module"."core_layout.base";
        module_core_size = "module"."core_layout.size";
        module_init_base = "module"."init_layout.base";
        module_init_size = "module"."init_layout.size";
        module_mem = "module"."mem";
        task_files = "task_struct"."files";
        task_mm = "task_struct"."mm";
        task_cred = "task_struct"."cred";
        task_real_cred = "task_struct"."real_cred";
        task_nsproxy = "task_struct"."nsproxy";
        task_signal = "task_struct"."signal";
        task_worker_private = "task_struct"."worker_private";
        task_vfork_done = "task_struct"."vfork_done";
        module_kobj = "module"."mkobj.kobj";
        pdrv_remove_new = "platform_driver"."remove_new";
        driver_p = "device_driver"."p";
        driver_probe_type = "device_driver"."probe_type";
        dentry_parent = "dentry"."d_parent";
        dentry_name = "dentry"."d_name.name";
        file_dentry = "file"."f_path.dentry";
        bdev_disk = "block_device"."bd_disk";
        bdev_partno = "block_device"."bd_partno";
        gendisk_disk_name = "gendisk"."disk_name";
        ctl_child = "ctl_table"."child";
        net_genl_sock = "net"."genl_sock";
        netdev_link_ops = "net_device"."rtnl_link_ops";
        link_kind = "rtnl_link_ops"."kind";
        link_setup = "rtnl_link_ops"."setup";
        link_dellink = "rtnl_link_ops"."dellink";
        pernet_init = "pernet_operations"."init";
        pernet_pre_exit = "pernet_operations"."pre_exit";
        pernet_exit = "pernet_operations"."exit";
        pernet_exit_batch = "pernet_operations"."exit_batch";
        pernet_id = "pernet_operations"."id";
        pernet_size = "pernet_operations"."size";
        genl_id = "genl_family"."id";
        genl_name = "genl_family"."name";
        genl_n_ops = "genl_family"."n_ops";
        genl_n_small_ops = "genl_family"."n_small_ops";
        genl_ops = "genl_family"."ops";
        genl_small_ops = "genl_family"."small_ops";
        shash_alg_digestsize = "shash_alg"."digestsize";
        shash_alg_base = "shash_alg"."base";
        crypto_alg_blocksize = "crypto_alg"."cra_blocksize";
        crypto_shash_descsize = "crypto_shash"."descsize";
        crypto_shash_base = "crypto_shash"."base";
        crypto_tfm_alg = "crypto_tfm"."__crt_alg";
        cpu_capability = "cpuinfo_x86"."x86_capability";
        cpu_family = "cpuinfo_x86"."x86";
        cpu_vendor = "cpuinfo_x86"."x86_vendor";
        cpu_model = "cpuinfo_x86"."x86_model";
        cpu_stepping = "cpuinfo_x86"."x86_stepping";
        cpu_vendor_id = "cpuinfo_x86"."x86_vendor_id";
        cpu_clflush = "cpuinfo_x86"."x86_clflush_size";
        cpu_max_cores = "cpuinfo_x86"."x86_max_cores";
        cpu_phys_bits = "cpuinfo_x86"."x86_phys_bits";
        cpu_virt_bits = "cpuinfo_x86"."x86_virt_bits";
        netdev_reg_state = "net_device"."reg_state";
        netdev_napi_list = "net_device"."napi_list";
        netdev_unreg_list = "net_device"."unreg_list";
        netdev_close_list = "net_device"."close_list";
        netdev_link_watch_list = "net_device"."link_watch_list";
        netdev_ptype_all = "net_device"."ptype_all";
        netdev_ptype_specific = "net_device"."ptype_specific";
        netdev_adj_list = "net_device"."adj_list";
        netdev_notifier_list = "net_device"."net_notifier_list";
        netdev_uc = "net_device"."uc";
        netdev_mc = "net_device"."mc";
        netdev_dev_addrs = "net_device"."dev_addrs";
        netdev_dev_list = "net_device"."dev_list";
        netdev_dev_addr = "net_device"."dev_addr";
        netdev_tx = "net_device"."_tx";
        netdev_num_tx = "net_device"."num_tx_queues";
        netdev_real_num_tx = "net_device"."real_num_tx_queues";
        netdev_num_rx = "net_device"."num_rx_queues";
        netdev_real_num_rx = "net_device"."real_num_rx_queues";
        netdev_refcnt = "net_device"."pcpu_refcnt";
        netdev_net = "net_device"."nd_net";
        netdev_flags = "net_device"."flags";
        netdev_mtu = "net_device"."mtu";
        netdev_type = "net_device"."type";
        netdev_addr_len = "net_device"."addr_len";
        netdev_ops = "net_device"."netdev_ops";
        netdev_ethtool_ops = "net_device"."ethtool_ops";
        netdev_ifindex = "net_device"."ifindex";
        netdev_state = "net_device"."state";
        netdev_dev = "net_device"."dev";
        netdev_assign = "net_device"."name_assign_type";
        netdev_header_ops = "net_device"."header_ops";
        netdev_hard_header_len = "net_device"."hard_header_len";
        netdev_min_mtu = "net_device"."min_mtu";
        netdev_max_mtu = "net_device"."max_mtu";
        netdev_tx_queue_len = "net_device"."tx_queue_len";
        netdev_broadcast = "net_device"."broadcast";
        netdev_priv_destructor = "net_device"."priv_destructor";
        netdev_needs_free = "net_device"."needs_free_netdev";
        net_dev_base = "net"."dev_base_head";
        net_list = "net"."list";
        net_exit_list = "net"."exit_list";
        net_loopback = "net"."loopback_dev";
        net_gen = "net"."gen";
        ndo_init = "net_device_ops"."ndo_init";
        ndo_uninit = "net_device_ops"."ndo_uninit";
        ndo_open = "net_device_ops"."ndo_open";
        ndo_stop = "net_device_ops"."ndo_stop";
        napi_poll = "napi_struct"."poll";
        napi_weight = "napi_struct"."weight";
        napi_dev = "napi_struct"."dev";
        napi_state = "napi_struct"."state";
        napi_poll_list = "napi_struct"."poll_list";
        napi_dev_list = "napi_struct"."dev_list";
        netdev_queue_state = "netdev_queue"."state";
    }
    // Small structures whose layout is the same in every supported x86-64 kernel: asked for all the same, and
    // taken from here when the types at hand leave them out.
    stable {
        ratelimit_interval = "ratelimit_state"."interval" or 4;
        ratelimit_burst = "ratelimit_state"."burst" or 8;
        ratelimit_printed = "ratelimit_state"."printed" or 12;
        ratelimit_missed = "ratelimit_state"."missed" or 16;
        ratelimit_begin = "ratelimit_state"."begin" or 24;
        ratelimit_flags = "ratelimit_state"."flags" or 32;
        resource_start = "resource"."start" or 0;
        resource_end = "resource"."end" or 8;
        resource_flags = "resource"."flags" or 24;
        xarray_flags = "xarray"."xa_flags" or 4;
        xarray_head = "xarray"."xa_head" or 8;
        xa_node_shift = "xa_node"."shift" or 0;
        xa_node_offset = "xa_node"."offset" or 1;
        xa_node_count = "xa_node"."count" or 2;
        xa_node_values = "xa_node"."nr_values" or 3;
        xa_node_parent = "xa_node"."parent" or 8;
        xa_node_array = "xa_node"."array" or 16;
        xa_node_list = "xa_node"."private_list" or 24;
        xa_node_slots = "xa_node"."slots" or 40;
        xa_node_marks = "xa_node"."marks" or 552;
        xas_xa = "xa_state"."xa" or 0;
        xas_index = "xa_state"."xa_index" or 8;
        xas_shift = "xa_state"."xa_shift" or 16;
        xas_sibs = "xa_state"."xa_sibs" or 17;
        xas_offset = "xa_state"."xa_offset" or 18;
        xas_node = "xa_state"."xa_node" or 24;
        xas_alloc = "xa_state"."xa_alloc" or 32;
        xas_update = "xa_state"."xa_update" or 40;
        radix_iter_index = "radix_tree_iter"."index" or 0;
        radix_iter_next = "radix_tree_iter"."next_index" or 8;
        radix_iter_tags = "radix_tree_iter"."tags" or 16;
        radix_iter_node = "radix_tree_iter"."node" or 24;
        idr_base = "idr"."idr_base" or 16;
        idr_next = "idr"."idr_next" or 20;
        page_compound_head = "page"."compound_head" or 8;
        page_mapcount = "page"."_mapcount" or 48;
        page_refcount = "page"."_refcount" or 52;
        percpu_counter_count = "percpu_counter"."count" or 8;
        percpu_counter_counters = "percpu_counter"."counters" or 32;
        mutex_owner = "mutex"."owner" or 0;
        mutex_wait_list = "mutex"."wait_list" or 16;
        ww_mutex_ctx = "ww_mutex"."ctx" or 32;
        ww_ctx_stamp = "ww_acquire_ctx"."stamp" or 8;
        ww_ctx_acquired = "ww_acquire_ctx"."acquired" or 16;
        ww_ctx_wounded = "ww_acquire_ctx"."wounded" or 20;
        ww_ctx_is_wait_die = "ww_acquire_ctx"."is_wait_die" or 22;
        rt_mutex_owner = "rt_mutex_base"."owner" or 24;
        rwsem_count = "rw_semaphore"."count" or 0;
        rwsem_owner = "rw_semaphore"."owner" or 8;
        rwsem_wait_list = "rw_semaphore"."wait_list" or 24;
        semaphore_count = "semaphore"."count" or 4;
        semaphore_wait_list = "semaphore"."wait_list" or 8;
        wqh_head = "wait_queue_head"."head" or 8;
        wqe_flags = "wait_queue_entry"."flags" or 0;
        wqe_private = "wait_queue_entry"."private" or 8;
        wqe_func = "wait_queue_entry"."func" or 16;
        wqe_entry = "wait_queue_entry"."entry" or 24;
        wbq_entry = "wait_bit_queue_entry"."wq_entry" or 24;
        swqh_list = "swait_queue_head"."task_list" or 8;
        swq_task = "swait_queue"."task" or 0;
        swq_list = "swait_queue"."task_list" or 8;
        timer_entry = "timer_list"."entry" or 0;
        timer_expires = "timer_list"."expires" or 16;
        timer_function = "timer_list"."function" or 24;
        timer_flags = "timer_list"."flags" or 32;
        hrtimer_expires = "hrtimer"."node.expires" or 24;
        hrtimer_softexpires = "hrtimer"."_softexpires" or 32;
        hrtimer_function = "hrtimer"."function" or 40;
        hrtimer_base = "hrtimer"."base" or 48;
        hrtimer_state = "hrtimer"."state" or 56;
        hrtimer_is_soft = "hrtimer"."is_soft" or 58;
        hrtimer_sleeper_task = "hrtimer_sleeper"."task" or 64;
        hrbase_running = "hrtimer_clock_base"."running" or 24;
        hrbase_get_time = "hrtimer_clock_base"."get_time" or 48;
        work_data = "work_struct"."data" or 0;
        work_entry = "work_struct"."entry" or 8;
        work_func = "work_struct"."func" or 24;
        dwork_timer = "delayed_work"."timer" or 32;
        dwork_wq = "delayed_work"."wq" or 72;
        dwork_cpu = "delayed_work"."cpu" or 80;
        tasklet_state = "tasklet_struct"."state" or 8;
        tasklet_count = "tasklet_struct"."count" or 16;
        tasklet_use_callback = "tasklet_struct"."use_callback" or 20;
        tasklet_func = "tasklet_struct"."func" or 24;
        tasklet_data = "tasklet_struct"."data" or 32;
        rcu_head_func = "callback_head"."func" or 8;
        rwork_rcu = "rcu_work"."rcu" or 32;
        rwork_wq = "rcu_work"."wq" or 48;
        nb_call = "notifier_block"."notifier_call" or 0;
        nb_next = "notifier_block"."next" or 8;
        nb_priority = "notifier_block"."priority" or 16;
        atomic_nh_head = "atomic_notifier_head"."head" or 8;
        blocking_nh_head = "blocking_notifier_head"."head" or 40;
        raw_nh_head = "raw_notifier_head"."head" or 0;
        net_device_name = "net_device"."name" or 0;
        kwork_node = "kthread_work"."node" or 0;
        kwork_func = "kthread_work"."func" or 16;
        kwork_worker = "kthread_work"."worker" or 24;
        kwork_canceling = "kthread_work"."canceling" or 32;
        kdwork_timer = "kthread_delayed_work"."timer" or 40;
        kworker_work_list = "kthread_worker"."work_list" or 8;
        kworker_delayed_list = "kthread_worker"."delayed_work_list" or 24;
        kworker_task = "kthread_worker"."task" or 40;
        kworker_current = "kthread_worker"."current_work" or 48;
        percpu_rwsem_read_count = "percpu_rw_semaphore"."read_count" or 48;
        percpu_rwsem_block = "percpu_rw_semaphore"."block" or 88;
    }
}
