//! Little-endian fields, variable-length integers, and sequential reading of random-access things.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use crate::error::{Code, Error};
use crate::storage::Reader;

/// Takes fixed-size fields off the front of a structure.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl Fields<'_> {
    /// The caller has checked the length of the whole structure; a short one reads as zeros.
    pub(crate) fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut field = [0; N];
        let length = N.min(self.0.len());
        field[..length].copy_from_slice(&self.0[..length]);
        self.0 = &self.0[length..];
        field
    }
    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }
    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }
    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

/// Writes `value` in groups of seven bits, lowest first.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads what [`put_varint`] wrote.
pub(crate) fn get_varint(input: &mut impl Read) -> io::Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        input.read_exact(&mut byte)?;
        value |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] < 0x80 {
            return Ok(value);
        }
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        "a variable-length integer of more than ten bytes",
    ))
}

/// Maps small negative and positive numbers to small unsigned ones.
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Sequential reading of a range of an object.
pub(crate) struct ObjectRange<'a> {
    pub(crate) object: &'a dyn Reader,
    pub(crate) offset: u64,
    pub(crate) end: u64,
}

impl Read for ObjectRange<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min((self.end - self.offset) as usize);
        self.object
            .read_exact_at(self.offset, &mut buffer[..length])
            .map_err(io::Error::other)?;
        self.offset += length as u64;
        Ok(length)
    }
}

/// An error of a store that went through `std::io` as it was (a network that broke is no damage);
/// any other one means that `what` is damaged.
pub(crate) fn own_or(error: io::Error, what: &str) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::new(Code::SnapshotDamaged, what).because(error),
    }
}

/// Sequential reading of a scratch file that others read at the same time.
pub(crate) struct FileCursor<'a> {
    pub(crate) file: &'a File,
    pub(crate) offset: u64,
}

impl Read for FileCursor<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read_at(buffer, self.offset)?;
        self.offset += length as u64;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_back_as_they_went() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!(get_varint(&mut bytes.as_slice()).expect("decodes"), value);
        }
        for value in [0, 1, -1, 63, -64, i64::MAX, i64::MIN] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
    }

    #[test]
    fn an_endless_integer_is_refused() {
        assert!(get_varint(&mut [0xff; 16].as_slice()).is_err());
    }
}
