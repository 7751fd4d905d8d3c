//! The sans-IO session (SKELETON by the lead; io.rs and snapshot.rs are the agreed interface and
//! join the module tree as soon as protocol has the types they name).

pub mod limits;
pub mod time;
