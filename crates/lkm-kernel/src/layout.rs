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

mod offsets;

pub use offsets::Offsets;
