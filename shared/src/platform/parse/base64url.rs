//! Strict base64url (RFC 4648, section 5).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// Parses base64url without padding. Each sequence of bytes has one encoding: the unused bits of
/// the last character must be zero (section 3.5).
pub fn base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_in_another_encoding_is_rejected() {
        assert_eq!(base64url("-_8").as_deref(), Some(&[0xfb, 0xff][..]));
        // Standard alphabet, padding, unused bits, an impossible length, white space.
        for wrong in ["+/8", "-_8=", "-_9", "-", "-_8 ", "-_\n8"] {
            assert_eq!(base64url(wrong), None, "{wrong:?}");
        }
    }
}
