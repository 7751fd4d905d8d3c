//! Offer, answer and candidates of a link, one step after the other (RFC 8829, RFC 8838).

use shoal_core::{LinkEvent, Role};
use shoal_protocol::tracker::Signal;
use tokio::sync::mpsc;
use tracing::debug;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    RtcIceCandidateInit, RtcPeerConnection, RtcPeerConnectionIceEvent, RtcSdpType,
    RtcSessionDescriptionInit,
};

use crate::platform::web::exception::Exception;
use crate::platform::web::inbox::Sender;

/// Negotiates one connection.
pub(super) struct Negotiation {
    pc: RtcPeerConnection,
    role: Role,
    events: Sender<LinkEvent>,
    has_remote: bool,
    /// Candidates that came before the description they belong to.
    early: Vec<Signal>,
}

impl Negotiation {
    pub(super) fn new(pc: RtcPeerConnection, role: Role, events: Sender<LinkEvent>) -> Self {
        Self {
            pc,
            role,
            events,
            has_remote: false,
            early: Vec::new(),
        }
    }

    /// Runs until the link goes; what fails ends the link.
    pub(super) async fn run(mut self, mut signals: mpsc::Receiver<Signal>) {
        let outcome = match self.role {
            Role::Offerer => self.offer().await,
            Role::Answerer => Ok(()),
        };
        if let Err(reason) = outcome {
            return self.events.close(reason);
        }
        while let Some(signal) = signals.recv().await {
            if let Err(reason) = self.handle(signal).await {
                return self.events.close(reason);
            }
        }
    }

    async fn handle(&mut self, signal: Signal) -> Result<(), String> {
        match (signal, self.role) {
            (Signal::Offer(sdp), Role::Answerer) if !self.has_remote => {
                self.accept(RtcSdpType::Offer, &sdp).await?;
                self.answer().await
            }
            (Signal::Answer(sdp), Role::Offerer) if !self.has_remote => {
                self.accept(RtcSdpType::Answer, &sdp).await
            }
            (Signal::Offer(_) | Signal::Answer(_), _) => {
                Err("the peer sent a description out of turn".to_owned())
            }
            (signal, _) if self.has_remote => {
                self.add_candidate(signal).await;
                Ok(())
            }
            (signal, _) => {
                if self.early.len() >= MAX_EARLY {
                    return Err(
                        "the peer sent too many candidates before its description".to_owned()
                    );
                }
                self.early.push(signal);
                Ok(())
            }
        }
    }

    async fn offer(&mut self) -> Result<(), String> {
        let offer = settle(self.pc.create_offer()).await?;
        self.describe(RtcSdpType::Offer, &offer.unchecked_into())
            .await
    }

    async fn answer(&mut self) -> Result<(), String> {
        let answer = settle(self.pc.create_answer()).await?;
        self.describe(RtcSdpType::Answer, &answer.unchecked_into())
            .await
    }

    /// Tells the other side, then starts: candidates come only after the description they are for.
    async fn describe(
        &mut self,
        kind: RtcSdpType,
        description: &RtcSessionDescriptionInit,
    ) -> Result<(), String> {
        let sdp = description
            .get_sdp()
            .ok_or("the browser made no description")?;
        self.events.push(LinkEvent::Signal(match kind {
            RtcSdpType::Offer => Signal::Offer(sdp),
            _ => Signal::Answer(sdp),
        }));
        settle(self.pc.set_local_description(description)).await?;
        Ok(())
    }

    async fn accept(&mut self, kind: RtcSdpType, sdp: &str) -> Result<(), String> {
        let description = RtcSessionDescriptionInit::new(kind);
        description.set_sdp(sdp);
        settle(self.pc.set_remote_description(&description)).await?;
        self.has_remote = true;
        for signal in std::mem::take(&mut self.early) {
            self.add_candidate(signal).await;
        }
        Ok(())
    }

    /// Adds a remote candidate. One that the browser does not take is not the end: others may do.
    async fn add_candidate(&self, signal: Signal) {
        let init = match signal {
            Signal::Candidate {
                candidate,
                mid,
                mline,
            } => {
                let init = RtcIceCandidateInit::new(&candidate);
                init.set_sdp_mid(mid.as_deref());
                init.set_sdp_m_line_index(mline);
                Some(init)
            }
            _ => None,
        };
        let added = self
            .pc
            .add_ice_candidate_with_opt_rtc_ice_candidate_init(init.as_ref());
        if let Err(reason) = settle(added).await {
            debug!(%reason, "candidate not taken");
        }
    }
}

/// What a candidate event has to tell the other side.
pub(super) fn local_signal(event: &web_sys::Event) -> Option<Signal> {
    let event = event.dyn_ref::<RtcPeerConnectionIceEvent>()?;
    let Some(candidate) = event.candidate() else {
        return Some(Signal::EndOfCandidates);
    };
    // An empty one ends a generation of candidates, of which we have one; the end itself follows.
    Some(candidate.candidate())
        .filter(|text| !text.is_empty())
        .map(|text| Signal::Candidate {
            candidate: text,
            mid: candidate.sdp_mid(),
            mline: candidate.sdp_m_line_index(),
        })
}

async fn settle(promise: js_sys::Promise) -> Result<wasm_bindgen::JsValue, String> {
    JsFuture::from(promise)
        .await
        .map_err(|thrown| Exception::from(thrown).to_string())
}

/// Candidates kept for a description still to come.
const MAX_EARLY: usize = 64;
