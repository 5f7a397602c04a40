//! A PKCS#7 message, and a trailer with everything before it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lkm_object::Signature;
use lkm_object::signature::{MODULE_SIG_STRING, trailer};

fuzz_target!(|data: &[u8]| {
    if let Ok(signature) = Signature::from_pkcs7(data) {
        assert!(signature.key_id.len() <= data.len());
    }
    let marked = [data, MODULE_SIG_STRING].concat();
    if let Some(t) = trailer(&marked) {
        assert_eq!(
            t.payload + t.signer.len() + t.key_id.len() + t.bytes.len() + 12,
            data.len()
        );
        let _ = Signature::from_trailer(&t);
    }
});
