//! `tandem demo`: a server with a throw-away data folder and a scripted caller.

use clap::Args;

/// Arguments of `tandem demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Show one call, answered by a scripted agent, then end: non-zero if any step failed.
    #[arg(long)]
    pub once: bool,
}

/// Runs the demonstration.
pub async fn run(_args: DemoArgs) -> anyhow::Result<()> {
    anyhow::bail!("this build carries no demonstration")
}
