//! The signalling-only agent: the engine's SIP stack with both legs of each call tied together.
//!
//! ```text
//! caller (127.0.0.2) ─INVITE▶ Incoming ─▶ Invite ─INVITE▶ callee (127.0.0.3)
//!                    ◀180/200─ Progress, Accept ◀─ Progress, Answered ◀180/200─
//!                    ─BYE▶ Ended ─▶ Bye ─BYE▶
//! ```
//!
//! No media, no store, no routing: session descriptions pass unchanged. One thread does everything.

use std::collections::HashMap;
use std::io::{Read, Write};

use anyhow::{Context, Result, ensure};
use media_engine::config::{SipConfig, TrunkConfig};
use media_engine::sip::{DialogId, Invite, SipCommand, SipEvent, Target};
use media_engine::sip_io::{SipHandle, SipStack};
use tokio::sync::oneshot;

use super::CALLER;

/// Serves until stdin ends; prints its address on stdout.
pub(super) fn run(callee: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ended, end) = oneshot::channel();
    // A separate thread blocks on stdin and uses no CPU.
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = ended.send(());
    });
    runtime.block_on(serve(callee, end))
}

async fn serve(callee: &str, mut end: oneshot::Receiver<()>) -> Result<()> {
    let trunk =
        |name: &str, host: String| TrunkConfig { name: name.into(), hosts: vec![host], ..TrunkConfig::default() };
    let trunks = [trunk("caller", CALLER.into()), trunk("callee", callee.into())];
    let sip = SipConfig { listen: vec!["udp:127.0.0.1:0".into()], domain: "bench".into(), ..SipConfig::default() };
    let (handle, mut events) = SipStack::start(&sip, &trunks).await?;
    let listener = handle.local_addresses().first().context("no listener")?.address;
    println!("{listener}");
    std::io::stdout().flush()?;
    let mut agent = Agent { handle, other: HashMap::new(), lost: 0 };
    loop {
        tokio::select! {
            biased;
            event = events.recv() => match event {
                Some(event) => agent.on_event(event),
                None => break,
            },
            _ = &mut end => break,
        }
    }
    ensure!(agent.lost == 0, "{} orders found the stack's queue full", agent.lost);
    Ok(())
}

struct Agent {
    handle: SipHandle,
    /// Dialog of the other leg, for both legs of every call.
    other: HashMap<DialogId, DialogId>,
    /// Number of commands that the stack could not accept.
    lost: u64,
}

impl Agent {
    fn on_event(&mut self, event: SipEvent) {
        match event {
            SipEvent::Incoming { dialog, from_user, to_user, sdp, .. } => {
                let Some(sdp) = sdp else {
                    return self.order(SipCommand::Reject { dialog, status: 488, reason: None, q850: None });
                };
                let second = DialogId::outgoing();
                self.other.insert(dialog, second);
                self.other.insert(second, dialog);
                let target = Target::Trunk { name: "callee".into(), user: to_user };
                self.order(Invite::new(second, target, sdp).from_user(from_user).into());
            }
            SipEvent::Progress { dialog, status, sdp, .. } => {
                if let Some(&dialog) = self.other.get(&dialog) {
                    self.order(SipCommand::Progress { dialog, status, sdp });
                }
            }
            SipEvent::Answered { dialog, sdp, .. } => {
                if let Some(&dialog) = self.other.get(&dialog) {
                    self.order(SipCommand::Accept { dialog, sdp });
                }
            }
            SipEvent::Failed { dialog, status, .. } => {
                if let Some(dialog) = self.part(dialog) {
                    self.order(SipCommand::Reject { dialog, status, reason: None, q850: None });
                }
            }
            SipEvent::Ended { dialog, .. } => {
                if let Some(dialog) = self.part(dialog) {
                    self.order(SipCommand::Bye { dialog, reason: None });
                }
            }
            SipEvent::Reoffer { dialog, .. } => self.order(SipCommand::RejectReinvite { dialog, status: 488 }),
            _ => {}
        }
    }

    /// Removes a call and returns its remaining leg.
    fn part(&mut self, dialog: DialogId) -> Option<DialogId> {
        let other = self.other.remove(&dialog)?;
        self.other.remove(&other);
        Some(other)
    }

    fn order(&mut self, command: SipCommand) {
        if self.handle.send(command).is_err() {
            self.lost += 1;
        }
    }
}
