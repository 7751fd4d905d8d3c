//! Bencode (BEP 3), by the `bendy` library: strict about canonical form (sorted keys, no leading
//! zeros), and it gives the raw bytes of a dictionary, which the info hash is made of.
//!
//! This file adds what this crate needs on top: values by key, and writing a dictionary around bytes
//! that are bencode already. It does not judge what dictionaries contain.

use bendy::decoding::{Decoder, DictDecoder, ListDecoder, Object};
use bendy::encoding::Encoder;

/// Dictionaries and lists may be nested this deep: a file tree of the deepest path, what is around
/// it, and some for keys that are not known.
pub(crate) const MAX_DEPTH: usize = crate::metainfo::MAX_PATH_DEPTH + 16;

/// Bytes are not canonical bencode, or nested too deep.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not canonical bencode: {0}")]
pub struct BencodeError(String);

impl From<bendy::decoding::Error> for BencodeError {
    fn from(error: bendy::decoding::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<bendy::encoding::Error> for BencodeError {
    fn from(error: bendy::encoding::Error) -> Self {
        Self(error.to_string())
    }
}

/// A value, with dictionaries and lists still to be read.
pub(crate) enum Value<'v, 'b> {
    Dict(DictDecoder<'v, 'b>),
    List(ListDecoder<'v, 'b>),
    Bytes(&'b [u8]),
    /// An integer that fits; larger ones are [`Value::Huge`].
    Integer(i64),
    Huge,
}

impl<'v, 'b> Value<'v, 'b> {
    pub(crate) fn bytes(&self) -> Option<&'b [u8]> {
        if let Self::Bytes(bytes) = self {
            Some(bytes)
        } else {
            None
        }
    }

    /// The text, if it is UTF-8.
    pub(crate) fn text(&self) -> Option<&'b str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(crate) fn integer(&self) -> Option<i64> {
        if let Self::Integer(integer) = self {
            Some(*integer)
        } else {
            None
        }
    }

    /// The integer as an unsigned number of a smaller type, if it is one.
    pub(crate) fn number<N: TryFrom<i64>>(&self) -> Option<N> {
        self.integer()?.try_into().ok()
    }
}

/// Calls `each` with every key and value of the dictionary that `bytes` begin with, and returns how
/// many bytes it has.
pub(crate) fn read_dict<'b, E: From<BencodeError>>(
    bytes: &'b [u8],
    each: impl FnMut(&'b [u8], Value<'_, 'b>) -> Result<(), E>,
) -> Result<usize, E> {
    let mut decoder = Decoder::new(bytes).with_max_depth(MAX_DEPTH);
    match decoder.next_object().map_err(BencodeError::from)? {
        Some(Object::Dict(mut dict)) => {
            read_pairs(&mut dict, each)?;
            Ok(dict.into_raw().map_err(BencodeError::from)?.len())
        }
        _ => Err(BencodeError("not a dictionary".into()).into()),
    }
}

/// Calls `each` with every key and value of a dictionary.
pub(crate) fn read_pairs<'b, E: From<BencodeError>>(
    dict: &mut DictDecoder<'_, 'b>,
    mut each: impl FnMut(&'b [u8], Value<'_, 'b>) -> Result<(), E>,
) -> Result<(), E> {
    while let Some((key, object)) = dict.next_pair().map_err(BencodeError::from)? {
        each(key, value(object))?;
    }
    Ok(())
}

/// Calls `each` with every value of a list.
pub(crate) fn read_list<'b, E: From<BencodeError>>(
    list: &mut ListDecoder<'_, 'b>,
    mut each: impl FnMut(Value<'_, 'b>) -> Result<(), E>,
) -> Result<(), E> {
    while let Some(object) = list.next_object().map_err(BencodeError::from)? {
        each(value(object))?;
    }
    Ok(())
}

/// Writes a dictionary of values that are bencoded already. Keys must come sorted.
pub(crate) fn write_dict(pairs: &[(&str, Vec<u8>)]) -> Result<Vec<u8>, BencodeError> {
    debug_assert!(pairs.is_sorted_by(|a, b| a.0 < b.0), "keys come sorted");
    let mut out = vec![b'd'];
    for (key, value) in pairs {
        out.extend(write(|encoder| encoder.emit_str(key))?);
        out.extend_from_slice(value);
    }
    out.push(b'e');
    Ok(out)
}

/// Writes one value.
pub(crate) fn write(
    emit: impl FnOnce(&mut Encoder) -> Result<(), bendy::encoding::Error>,
) -> Result<Vec<u8>, BencodeError> {
    let mut encoder = Encoder::new().with_max_depth(MAX_DEPTH);
    emit(&mut encoder)?;
    Ok(encoder.get_output()?)
}

fn value<'v, 'b>(object: Object<'v, 'b>) -> Value<'v, 'b> {
    match object {
        Object::Dict(dict) => Value::Dict(dict),
        Object::List(list) => Value::List(list),
        Object::Bytes(bytes) => Value::Bytes(bytes),
        Object::Integer(digits) => digits.parse().map_or(Value::Huge, Value::Integer),
    }
}
