//! L1: `module_sig_check` and `mod_check_sig`, before anything else of the file is looked at.

use super::errno::{EBADMSG, EKEYREJECTED, ENODATA, ENOKEY, ENOPKG, EPERM};
use super::{
    Event, Keys, MODULE_INIT_IGNORE_MODVERSIONS, MODULE_INIT_IGNORE_VERMAGIC, Refusal, Rules,
};
use crate::bytes::Order;
use crate::signature::{
    MODULE_SIG_STRING, MODULE_SIGNATURE_SIZE, PKEY_ID_PKCS7, Signature, SignatureError,
};

/// What the signature check leaves for the next steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed {
    /// Length of the module without what was recognised as signature.
    pub len: usize,
    /// `sig_ok`: a signature by a known key.
    pub ok: bool,
}

/// Looks for the trailer, and judges its form.
///
/// Without CONFIG_MODULE_SIG the trailer is neither looked at nor removed.
///
/// # Errors
/// A malformed signature is fatal always, a missing one, one by an unknown
/// key or of an unknown kind only when signatures are enforced.
pub fn module_sig_check(
    data: &[u8],
    rules: &Rules<'_>,
    events: &mut Vec<Event>,
) -> Result<Signed, Refusal> {
    let mut len = data.len();
    if !rules.module_sig {
        return Ok(Signed { len, ok: false });
    }
    let mangled = rules.flags & (MODULE_INIT_IGNORE_MODVERSIONS | MODULE_INIT_IGNORE_VERMAGIC) != 0;
    let marked = !mangled && len > MODULE_SIG_STRING.len() && data.ends_with(MODULE_SIG_STRING);
    let (error, message) = if marked {
        len -= MODULE_SIG_STRING.len();
        match mod_verify_sig(data, &mut len, rules) {
            Ok(()) => return Ok(Signed { len, ok: true }),
            Err(e) => e,
        }
    } else {
        (ENODATA, None)
    };
    let reason = match error {
        ENODATA => "unsigned module",
        ENOPKG => "module with unsupported crypto",
        ENOKEY => "module with unavailable key",
        _ => {
            return Err(Refusal {
                errno: error,
                message,
                step: "L1",
            });
        }
    };
    if let Some(text) = message {
        events.push(Event::log("L1", text));
    }
    if rules.sig_enforce {
        return Err(Refusal {
            errno: EKEYREJECTED,
            message: Some(format!("Loading of {reason} is rejected")),
            step: "L1b",
        });
    }
    if rules.lockdown {
        return Err(Refusal {
            errno: EPERM,
            message: Some(format!(
                "Lockdown: {}: unsigned module loading is restricted; see man kernel_lockdown.7",
                rules.comm
            )),
            step: "L1c",
        });
    }
    Ok(Signed { len, ok: false })
}

type Verdict = Result<(), (i32, Option<String>)>;

/// `mod_verify_sig` and `mod_check_sig`; `len` loses the signature once its form is right.
fn mod_verify_sig(data: &[u8], len: &mut usize, rules: &Rules<'_>) -> Verdict {
    let total = *len;
    if total <= MODULE_SIGNATURE_SIZE {
        return Err((EBADMSG, None));
    }
    let raw = &data[total - MODULE_SIGNATURE_SIZE..total];
    let sig_len = Order { big: true }.u32(raw, 8).unwrap_or(u32::MAX) as usize;
    if sig_len >= total - MODULE_SIGNATURE_SIZE {
        return Err((EBADMSG, None));
    }
    if raw[2] != PKEY_ID_PKCS7 {
        let text = "module: not signed with expected PKCS#7 message";
        return Err((ENOPKG, Some(text.into())));
    }
    if raw[..2].iter().chain(&raw[3..8]).any(|&b| b != 0) {
        let text = "module: PKCS#7 signature info has unexpected non-zero params";
        return Err((EBADMSG, Some(text.into())));
    }
    *len = total - MODULE_SIGNATURE_SIZE - sig_len;
    let message = &data[*len..*len + sig_len];
    match Signature::from_pkcs7(message) {
        Err(SignatureError::Unsupported) => Err((ENOPKG, None)),
        Err(SignatureError::Malformed(_)) => Err((EBADMSG, None)),
        Ok(signature) if !signature.hash_in_kernel => Err((ENOPKG, None)),
        Ok(signature) => {
            let known = match rules.keys {
                Keys::Empty => false,
                Keys::All => true,
                Keys::Ids(ids) => ids.contains(&signature.key_id),
            };
            if known { Ok(()) } else { Err((ENOKEY, None)) }
        }
    }
}
