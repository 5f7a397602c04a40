//! A kernel log with an oops in it, or what somebody takes for one.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let input = String::from_utf8_lossy(data);
    if let Some(explained) = lkm_judge::explain::oops::explain_text(&input) {
        let _ = explained.text();
    }
});
