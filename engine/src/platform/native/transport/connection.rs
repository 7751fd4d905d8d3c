//! The task that owns one `PeerConnection`, from the first signal to the last goodbye.

use std::net::{Ipv6Addr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::configuration::setting_engine::SctpMaxMessageSize;
use shoal_core::{LinkEvent, Role};
use shoal_protocol::tracker::{IceServer, Signal};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelInit};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder,
    RTCIceCandidateInit, RTCIceGatheringState, RTCPeerConnectionIceEvent, RTCPeerConnectionState,
    RTCSessionDescription, SettingEngineBuilder,
};
use webrtc::runtime::Runtime;

use super::mailbox::{FRAME, Mailbox, WINDOW, credit};
use super::{ice, route};

/// Label of the one channel. Only for people who look: any label is taken.
const CHANNEL: &str = "shoal";

/// Bytes that the stack may hold for sending before a send waits.
const SEND_BUFFER: usize = 1 << 20;

/// Largest message that we say we take.
const MAX_MESSAGE: u32 = 256 * 1024;

/// Candidates of the remote that wait for its description.
const MAX_EARLY: usize = 64;

/// Notices of the stack that may wait.
const NOTICES: usize = 256;

/// How long saying goodbye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What the stack tells its owner.
enum Notice {
    Candidate(RTCIceCandidateInit),
    Gathered,
    State(RTCPeerConnectionState),
    Channel(Arc<dyn DataChannel>),
    ChannelOpen,
    ChannelClosed,
    /// What was to be sent was not taken.
    Refused(String),
}

/// Passes the stack's calls on. They run on its driver, which must not be held up.
#[derive(Clone)]
struct Handler(mpsc::Sender<Notice>);

#[async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        if let Ok(candidate) = event.candidate.to_json() {
            self.tell(Notice::Candidate(candidate));
        }
    }

    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.tell(Notice::Gathered);
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.tell(Notice::State(state));
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        self.tell(Notice::Channel(channel));
    }
}

impl Handler {
    fn tell(&self, notice: Notice) {
        // Full only if the owner has stopped to listen, and then nothing matters any more.
        let _ = self.0.try_send(notice);
    }
}

/// Runs a connection until either side ends it; then closes it and says why.
pub(super) async fn own(
    role: Role,
    ice_servers: Vec<IceServer>,
    mailbox: Rc<Mailbox>,
    events: mpsc::Sender<LinkEvent>,
    runtime: Arc<dyn Runtime>,
) {
    let (handler, notices) = mpsc::channel(NOTICES);
    let built = build(&ice_servers, Handler(handler.clone()), runtime).await;
    let reason = match built {
        Ok(connection) => {
            let mut owner = Owner {
                connection,
                events: events.clone(),
                mailbox,
                handler,
                described: false,
                early: Vec::new(),
                pumps: Vec::new(),
            };
            let reason = match owner.run(role, notices).await {
                Ok(()) => "closed".to_owned(),
                Err(reason) => reason,
            };
            owner.close().await;
            reason
        }
        Err(error) => format!("no connection can be made: {error}"),
    };
    // The engine may have let go of the link.
    let _ = events.send(LinkEvent::Closed { reason }).await;
}

struct Owner {
    connection: Arc<dyn PeerConnection>,
    events: mpsc::Sender<LinkEvent>,
    mailbox: Rc<Mailbox>,
    handler: mpsc::Sender<Notice>,
    /// The remote description is set.
    described: bool,
    early: Vec<RTCIceCandidateInit>,
    /// The channel's reader and writer, and who finds out the route.
    pumps: Vec<JoinHandle<()>>,
}

impl Owner {
    async fn run(&mut self, role: Role, mut notices: mpsc::Receiver<Notice>) -> Result<(), String> {
        if role == Role::Offerer {
            self.offer().await.map_err(in_words)?;
        }
        loop {
            tokio::select! {
                signal = self.mailbox.next_signal() => match signal {
                    Some(signal) => self.signal(signal).await?,
                    None => return Ok(()),
                },
                Some(notice) = notices.recv() => self.notice(notice).await?,
            }
        }
    }

    /// Closes the connection whatever has happened before.
    async fn close(&mut self) {
        for pump in self.pumps.drain(..) {
            pump.abort();
            // Only to be sure that it says nothing after the end.
            let _ = pump.await;
        }
        let closed = tokio::time::timeout(CLOSE_TIMEOUT, self.connection.close()).await;
        if !matches!(closed, Ok(Ok(()))) {
            tracing::debug!("a connection did not close in order");
        }
    }

    async fn offer(&mut self) -> webrtc::error::Result<()> {
        let init = RTCDataChannelInit {
            ordered: true,
            ..RTCDataChannelInit::default()
        };
        let channel = self
            .connection
            .create_data_channel(CHANNEL, Some(init))
            .await?;
        self.pump(channel);
        let offer = self.connection.create_offer(None).await?;
        let sdp = offer.sdp.clone();
        self.connection.set_local_description(offer).await?;
        self.tell(LinkEvent::Signal(Signal::Offer(sdp))).await;
        Ok(())
    }

    async fn signal(&mut self, signal: Signal) -> Result<(), String> {
        match signal {
            Signal::Offer(sdp) => self.answer(sdp).await.map_err(in_words),
            Signal::Answer(sdp) => {
                let answer = RTCSessionDescription::answer(sdp).map_err(in_words)?;
                self.describe(answer).await.map_err(in_words)
            }
            Signal::Candidate {
                candidate,
                mid,
                mline,
            } => {
                let candidate = RTCIceCandidateInit {
                    candidate,
                    sdp_mid: mid,
                    sdp_mline_index: mline,
                    ..RTCIceCandidateInit::default()
                };
                if self.described {
                    self.add_candidate(candidate).await;
                } else if self.early.len() < MAX_EARLY {
                    self.early.push(candidate);
                }
                Ok(())
            }
            Signal::EndOfCandidates => Ok(()),
        }
    }

    async fn answer(&mut self, sdp: String) -> webrtc::error::Result<()> {
        self.describe(RTCSessionDescription::offer(sdp)?).await?;
        let answer = self.connection.create_answer(None).await?;
        let sdp = answer.sdp.clone();
        self.connection.set_local_description(answer).await?;
        self.tell(LinkEvent::Signal(Signal::Answer(sdp))).await;
        Ok(())
    }

    /// Takes the remote's description, and the candidates that have overtaken it.
    async fn describe(&mut self, description: RTCSessionDescription) -> webrtc::error::Result<()> {
        self.connection.set_remote_description(description).await?;
        self.described = true;
        for candidate in std::mem::take(&mut self.early) {
            self.add_candidate(candidate).await;
        }
        Ok(())
    }

    /// A candidate that is of no use here (a name that nobody resolves) spoils nothing.
    async fn add_candidate(&self, candidate: RTCIceCandidateInit) {
        if let Err(error) = self.connection.add_ice_candidate(candidate).await {
            tracing::debug!(%error, "a candidate was not taken");
        }
    }

    async fn notice(&mut self, notice: Notice) -> Result<(), String> {
        match notice {
            Notice::Candidate(candidate) => {
                let signal = Signal::Candidate {
                    candidate: candidate.candidate,
                    mid: candidate.sdp_mid,
                    mline: candidate.sdp_mline_index,
                };
                self.tell(LinkEvent::Signal(signal)).await;
            }
            Notice::Gathered => self.tell(LinkEvent::Signal(Signal::EndOfCandidates)).await,
            Notice::Channel(channel) if self.pumps.is_empty() => {
                if !is_stream(&*channel).await {
                    return Err("the peer's channel may lose or reorder messages".to_owned());
                }
                self.pump(channel);
            }
            // The stack would keep what arrives on it, for ever and without bound.
            Notice::Channel(_) => return Err("the peer has opened a second channel".to_owned()),
            Notice::ChannelOpen => {
                let report = route::report(Arc::clone(&self.connection), self.events.clone());
                self.pumps.push(tokio::task::spawn_local(report));
            }
            Notice::Refused(reason) => return Err(reason),
            Notice::ChannelClosed => return Err("the peer has closed the connection".to_owned()),
            Notice::State(state) => match state {
                RTCPeerConnectionState::Failed => {
                    return Err("no way to the peer was found".to_owned());
                }
                RTCPeerConnectionState::Disconnected => {
                    return Err("the peer cannot be reached any more".to_owned());
                }
                RTCPeerConnectionState::Closed => return Err("closed".to_owned()),
                _ => {}
            },
        }
        Ok(())
    }

    async fn tell(&self, event: LinkEvent) {
        // The engine may have let go of the link; the mailbox will tell.
        let _ = self.events.send(event).await;
    }

    /// Starts to read from the channel and, once it is open, to write to it.
    fn pump(&mut self, channel: Arc<dyn DataChannel>) {
        let open = Rc::new(Notify::new());
        let reader = read(
            Arc::clone(&channel),
            self.events.clone(),
            self.handler.clone(),
            Rc::clone(&open),
        );
        let writer = write(
            Arc::clone(&self.connection),
            channel,
            self.events.clone(),
            self.handler.clone(),
            Rc::clone(&self.mailbox),
            open,
        );
        self.pumps.push(tokio::task::spawn_local(reader));
        self.pumps.push(tokio::task::spawn_local(writer));
    }
}

/// Hands on what arrives. Waits while the engine is behind, which stops the remote in time.
async fn read(
    channel: Arc<dyn DataChannel>,
    events: mpsc::Sender<LinkEvent>,
    owner: mpsc::Sender<Notice>,
    open: Rc<Notify>,
) {
    while let Some(event) = channel.poll().await {
        let event = match event {
            DataChannelEvent::OnOpen => {
                let opened = LinkEvent::Opened { budget: WINDOW };
                if events.send(opened).await.is_err() {
                    break;
                }
                open.notify_one();
                // The owner may have ended already.
                let _ = owner.send(Notice::ChannelOpen).await;
                continue;
            }
            DataChannelEvent::OnMessage(message) => LinkEvent::Received(message.data.freeze()),
            DataChannelEvent::OnClose => break,
            _ => continue,
        };
        if events.send(event).await.is_err() {
            break;
        }
    }
    // The owner may have ended already.
    let _ = owner.send(Notice::ChannelClosed).await;
}

/// Sends what the engine leaves, and gives the credit back as the stack takes it.
async fn write(
    connection: Arc<dyn PeerConnection>,
    channel: Arc<dyn DataChannel>,
    events: mpsc::Sender<LinkEvent>,
    owner: mpsc::Sender<Notice>,
    mailbox: Rc<Mailbox>,
    open: Rc<Notify>,
) {
    open.notified().await;
    let frame_length = frame_length(&*connection).await;
    loop {
        let frame = mailbox.next_frame(frame_length).await;
        let length = frame.len();
        if let Err(error) = channel.send(frame).await {
            let reason = format!("nothing more can be sent to the peer: {error}");
            // The owner may have ended already.
            let _ = owner.send(Notice::Refused(reason)).await;
            return;
        }
        if events.send(credit(length)).await.is_err() {
            return;
        }
    }
}

/// Bytes in one message of the channel: as many as are good for us and the remote says it takes.
async fn frame_length(connection: &dyn PeerConnection) -> usize {
    let Some(sctp) = connection.sctp().await else {
        return FRAME;
    };
    match sctp.max_message_size().await {
        Ok(most) => FRAME.min(most as usize).max(1),
        Err(_) => FRAME,
    }
}

/// Returns whether the channel loses and reorders nothing.
async fn is_stream(channel: &dyn DataChannel) -> bool {
    matches!(channel.ordered().await, Ok(true))
        && matches!(channel.max_packet_life_time().await, Ok(None))
        && matches!(channel.max_retransmits().await, Ok(None))
}

/// Makes a connection. Names of candidates (`….local`) are resolved where the machine can join a
/// multicast group; without a route to one (a cable between two machines, a container) that cannot be
/// done, and is no reason not to connect.
async fn build(
    ice_servers: &[IceServer],
    handler: Handler,
    runtime: Arc<dyn Runtime>,
) -> webrtc::error::Result<Arc<dyn PeerConnection>> {
    let full = builder(ice_servers, handler.clone(), Arc::clone(&runtime), None);
    match full.build().await {
        Ok(connection) => Ok(Arc::new(connection)),
        Err(error) => {
            tracing::debug!(%error, "trying without multicast DNS");
            let disabled = Some(MulticastDnsMode::Disabled);
            let connection = builder(ice_servers, handler, runtime, disabled)
                .build()
                .await?;
            Ok(Arc::new(connection))
        }
    }
}

fn builder(
    ice_servers: &[IceServer],
    handler: Handler,
    runtime: Arc<dyn Runtime>,
    names: Option<MulticastDnsMode>,
) -> PeerConnectionBuilder<&'static str> {
    let configuration = RTCConfigurationBuilder::new()
        .with_ice_servers(ice::usable(ice_servers))
        .build();
    let mut settings = SettingEngineBuilder::new()
        .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(MAX_MESSAGE))
        // Else a controlling side waits a second before it uses a path it was not told of.
        .with_prflx_acceptance_min_wait(Some(Duration::ZERO))
        .with_ice_timeouts(
            Some(Duration::from_secs(8)),
            Some(Duration::from_secs(20)),
            Some(Duration::from_secs(2)),
        );
    if let Some(mode) = names {
        settings = settings.with_multicast_dns_mode(mode);
    }
    PeerConnectionBuilder::new()
        .with_configuration(configuration)
        .with_setting_engine(settings.build())
        .with_runtime(runtime)
        .with_handler(Arc::new(handler))
        .with_udp_addrs(addresses())
        .with_data_channel_send_buffer_limit(SEND_BUFFER)
}

/// Where to listen: candidates come only from these. The unspecified addresses give the network's; peers
/// on the same machine need the loopback too. Not every host has IPv6.
fn addresses() -> Vec<&'static str> {
    let mut addresses = vec!["0.0.0.0:0", "127.0.0.1:0"];
    if UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok() {
        addresses.push("[::]:0");
    }
    addresses
}

/// What went wrong, for people and logs.
fn in_words(error: webrtc::error::Error) -> String {
    format!("the connection could not be set up: {error}")
}
