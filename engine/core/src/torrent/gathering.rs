//! Complete session descriptions, for peers that take no trickled candidates (WebTorrent's dialect).
//!
//! A transport always trickles (RFC 8838). Where the remote cannot, what the transport tells is kept
//! until it has told all, and goes out as one description with the candidates in it.

use std::time::Duration;

use shoal_protocol::tracker::Signal;

use crate::time::Timestamp;

/// How long candidates are waited for: a server that does not answer must not hold up those that are
/// there. What comes later is lost.
const PATIENCE: Duration = Duration::from_secs(3);

/// Candidates are left out that make a description longer. Trackers take 8 KiB, escapes included.
const MAX_LENGTH: usize = 7 << 10;

/// What one side of an attempt to connect has told so far.
#[derive(Debug)]
pub(crate) struct Gathering {
    description: Option<Signal>,
    /// Attributes (RFC 8839, section 5.1), a line each.
    candidates: String,
    all_told: bool,
    until: Timestamp,
}

impl Gathering {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            description: None,
            candidates: String::new(),
            all_told: false,
            until: now + PATIENCE,
        }
    }

    /// Keeps what the transport tells.
    pub(crate) fn add(&mut self, signal: Signal) {
        match signal {
            Signal::Candidate { candidate, .. } => self.add_candidate(&candidate),
            Signal::EndOfCandidates => self.all_told = true,
            description => self.description = Some(description),
        }
    }

    /// Returns the description when everything is in it, or nothing more is waited for.
    pub(crate) fn finish(&mut self, now: Timestamp) -> Option<Signal> {
        if !self.all_told && !self.is_late(now) {
            return None;
        }
        let mut description = self.description.take()?;
        if let Signal::Offer(sdp) | Signal::Answer(sdp) = &mut description {
            // There is one media section, the data channel's, and it is the last thing in the text.
            if !sdp.ends_with('\n') {
                sdp.push_str("\r\n");
            }
            sdp.push_str(&self.candidates);
            sdp.push_str("a=end-of-candidates\r\n");
        }
        Some(description)
    }

    /// Returns whether nothing more is waited for.
    pub(crate) fn is_late(&self, now: Timestamp) -> bool {
        now >= self.until
    }

    fn add_candidate(&mut self, candidate: &str) {
        let told = match &self.description {
            Some(Signal::Offer(sdp) | Signal::Answer(sdp)) => sdp.len(),
            _ => 0,
        };
        let fits = told + self.candidates.len() + candidate.len() < MAX_LENGTH;
        if fits && candidate.starts_with("candidate:") && !candidate.contains(['\r', '\n']) {
            self.candidates.push_str("a=");
            self.candidates.push_str(candidate);
            self.candidates.push_str("\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(text: &str) -> Signal {
        Signal::Candidate {
            candidate: text.to_owned(),
            mid: Some("0".to_owned()),
            mline: Some(0),
        }
    }

    #[test]
    fn a_description_goes_out_once_with_all_candidates_in_it() {
        let mut gathering = Gathering::new(Timestamp::ZERO);
        // A transport may tell a candidate before the description it belongs to is set.
        gathering.add(candidate("candidate:1 1 udp 1 192.0.2.1 9 typ host"));
        gathering.add(Signal::Offer("v=0\r\nm=application\r\n".to_owned()));
        gathering.add(candidate("candidate:2 1 udp 1 192.0.2.2 9 typ host"));
        assert_eq!(gathering.finish(Timestamp::ZERO), None);
        gathering.add(Signal::EndOfCandidates);
        let whole = "v=0\r\nm=application\r\n\
                     a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n\
                     a=candidate:2 1 udp 1 192.0.2.2 9 typ host\r\n\
                     a=end-of-candidates\r\n";
        let offer = Signal::Offer(whole.to_owned());
        assert_eq!(gathering.finish(Timestamp::ZERO), Some(offer));
        assert_eq!(gathering.finish(Timestamp::ZERO), None);
    }

    #[test]
    fn a_silent_server_holds_nobody_up_for_long() {
        let mut gathering = Gathering::new(Timestamp::ZERO);
        let late = Timestamp::ZERO + PATIENCE;
        assert_eq!(gathering.finish(late), None, "there is nothing to tell yet");
        gathering.add(Signal::Answer("v=0\r\n".to_owned()));
        assert!(gathering.finish(Timestamp::ZERO).is_none());
        let told = gathering.finish(late);
        assert!(
            matches!(told, Some(Signal::Answer(sdp)) if sdp.ends_with("a=end-of-candidates\r\n"))
        );
    }

    #[test]
    fn a_description_does_not_grow_beyond_what_a_tracker_takes() {
        let mut gathering = Gathering::new(Timestamp::ZERO);
        gathering.add(Signal::Offer("v=0\r\n".to_owned()));
        for number in 0..1000 {
            gathering.add(candidate(&format!(
                "candidate:{number} 1 udp 1 192.0.2.1 9 typ host"
            )));
        }
        gathering.add(candidate("candidate:1\r\na=evil"));
        gathering.add(candidate(""));
        gathering.add(Signal::EndOfCandidates);
        let Some(Signal::Offer(sdp)) = gathering.finish(Timestamp::ZERO) else {
            panic!("no offer");
        };
        assert!(sdp.len() < 8 << 10 && !sdp.contains("evil"));
        assert!(sdp.contains("candidate:50 "));
    }
}
