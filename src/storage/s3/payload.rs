//! Bytes on their way to a server, as often as it takes.

use std::time::Duration;

use aws_sdk_s3::config::Builder;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use md5::{Digest, Md5};

use super::client::time_for;
use super::error::Refusal;

/// How often a request is sent whose bytes the wire changed, or that met another write of its object.
pub(super) const SENDINGS: u32 = 4;

pub(super) struct Payload {
    body: SdkBody,
    length: usize,
    /// `Content-MD5`: the one checksum that every provider verifies.
    pub(super) md5: String,
}

impl Payload {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self {
            md5: base64(&Md5::digest(&bytes)),
            length: bytes.len(),
            body: SdkBody::from(bytes),
        }
    }

    pub(super) fn stream(&self) -> ByteStream {
        let again = self.body.try_clone();
        ByteStream::new(again.expect("bytes in memory can be sent any number of times"))
    }

    /// The time limits of a request that carries this.
    pub(super) fn limits(&self) -> Builder {
        time_for(self.length)
    }
}

/// The wire changed the bytes, or two writes met.
pub(super) fn worth_repeating(refusal: &Refusal) -> bool {
    refusal.is_corruption() || refusal.is_collision()
}

/// Longer after each try: 200 ms, 400 ms, …
pub(super) async fn pause(tries: u32) {
    tokio::time::sleep(Duration::from_millis(100 << tries.min(5))).await;
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, i| bits << 8 | u32::from(*three.get(i).unwrap_or(&0)));
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) & 63;
            text.push(if digit <= three.len() {
                DIGITS[value as usize].into()
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_written_as_the_header_wants_them() {
        assert_eq!(Payload::new(b"abc".to_vec()).md5, "kAFQmDzST7DWlj99KOF/cg==");
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
