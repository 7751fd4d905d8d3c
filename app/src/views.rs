//! The screens. There is one so far.

#[cfg(test)]
mod tests;
mod transfers;

pub(crate) use transfers::Transfers;
