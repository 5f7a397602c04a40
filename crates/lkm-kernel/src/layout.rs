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
     optional { $($ofield:ident = $ostruct:literal . $opath:literal;)* }) => {
        /// Offsets and sizes; the names say struct_member. `NONE` marks a member that is not there.
        #[derive(Debug, Clone, Copy)]
        #[allow(missing_docs, reason = "each field is the offset of the member it is named after")]
        pub struct Offsets {
            $(pub $field: u64,)* $(pub $size: u64,)* $(pub $ofield: u64,)*
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
    }
    sizes {
        task_size = "task_struct";
        module_size = "module";
    }
    optional {
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
    }
}
