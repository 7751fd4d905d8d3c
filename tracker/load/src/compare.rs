//! stub
use clap::Args;
/// x
#[derive(Args, Debug)]
pub struct Compare {}
impl Compare {
    /// x
    pub fn run(&self) -> anyhow::Result<()> {
        anyhow::bail!("x")
    }
}
