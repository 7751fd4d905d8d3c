//! The only module that talks to the engine: commands go in, snapshots come out into the store.

mod view;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use dioxus::prelude::*;
use shoal_engine::{
    Engine, EngineError, EngineOptions, InfoHash, Magnet, OpenOptions, ShareOptions, Source,
    TorrentSource,
};
use tokio::sync::mpsc;

use self::view::{Local, View, Viewer};
use crate::command::Command;
use crate::platform::{self, Place};
use crate::state::{AppState, AppStateStoreExt, StartFacts, TorrentId};

/// Starts the engine and returns where to send commands.
pub(crate) fn use_engine(state: Store<AppState>, facts: StartFacts) -> Callback<Command> {
    let commands = use_hook(|| {
        let (commands, inbox) = mpsc::channel(QUEUE);
        spawn(run(state, facts, inbox));
        commands
    });
    use_callback(move |command| {
        if let Err(error) = commands.try_send(command) {
            tracing::warn!(%error, "a command is lost: the engine does not keep up");
        }
    })
}

/// Carries out commands and shows snapshots until the page or window is closed.
async fn run(state: Store<AppState>, facts: StartFacts, mut inbox: mpsc::Receiver<Command>) {
    let options = EngineOptions {
        platform: platform::engine_options(),
        ..EngineOptions::default()
    };
    let engine = match Engine::start(options).await {
        Ok(engine) => engine,
        Err(error) => {
            let words = format!("Shoal cannot run here: {error}.");
            return state.share_error().set(Some(words));
        }
    };
    let leaving = engine.clone();
    platform::on_close(async move { leaving.shutdown().await });
    let bridge = Rc::new(Bridge {
        engine,
        facts,
        state,
        usual_place: RefCell::new(Place::usual()),
        places: RefCell::default(),
        viewer: RefCell::default(),
    });
    spawn(Rc::clone(&bridge).show());
    while let Some(command) = inbox.recv().await {
        // Hashing and dialogs take their time, and nothing else waits for them.
        spawn(Rc::clone(&bridge).carry_out(command));
    }
}

struct Bridge {
    engine: Engine,
    facts: StartFacts,
    state: Store<AppState>,
    /// Where downloads go that were given no place of their own: the one chosen last.
    usual_place: RefCell<Option<Place>>,
    /// Where downloads shall go that have not begun.
    places: RefCell<BTreeMap<InfoHash, Place>>,
    viewer: RefCell<Viewer>,
}

impl Bridge {
    async fn carry_out(self: Rc<Self>, command: Command) {
        match command {
            Command::Share(sources) => self.share(sources).await,
            Command::Open(link) => self.open(&link).await,
            Command::Remove(TorrentId::Preparing(number)) => {
                self.engine.cancel_share(number).await;
            }
            Command::Start(TorrentId::Known(torrent)) => self.start(torrent).await,
            Command::Pause(TorrentId::Known(torrent)) => self.engine.pause(torrent).await,
            Command::Resume(TorrentId::Known(torrent)) => self.engine.resume(torrent).await,
            Command::Remove(TorrentId::Known(torrent)) => self.remove(torrent).await,
            Command::SetLimits(TorrentId::Known(torrent), limits) => {
                self.engine.set_torrent_limits(torrent, limits).await;
            }
            Command::Select(TorrentId::Known(torrent), selection) => {
                self.engine.select(torrent, selection).await;
            }
            Command::Check(TorrentId::Known(torrent)) => self.engine.check(torrent).await,
            Command::Save(TorrentId::Known(torrent)) => self.save(torrent).await,
            Command::SavePart(TorrentId::Known(torrent)) => {
                let saved = self.engine.save_part(torrent).await;
                self.tell_saved(torrent, saved);
            }
            Command::ChoosePlace(TorrentId::Known(torrent)) => self.choose_place(torrent).await,
            Command::ShowPlace(TorrentId::Known(torrent)) => self.show_place(torrent),
            // A share that is being hashed can be given up, and nothing else.
            _ => {}
        }
    }

    async fn share(&self, sources: Vec<Source>) {
        self.state.share_error().set(None);
        let options = ShareOptions {
            trackers: vec![self.facts.tracker.clone()],
            ..ShareOptions::default()
        };
        match self.engine.share(sources, options).await {
            Ok(_) | Err(EngineError::Cancelled) => {}
            Err(error) => self.state.share_error().set(Some(sentence(&error))),
        }
    }

    async fn open(&self, link: &str) {
        let magnet = match Magnet::parse(link) {
            Ok(magnet) => magnet,
            Err(error) => return self.state.open_error().set(Some(sentence(&error))),
        };
        let trackers = if magnet.trackers.is_empty() {
            vec![self.facts.tracker.clone()]
        } else {
            Vec::new()
        };
        let options = OpenOptions {
            trackers,
            ..OpenOptions::default()
        };
        let opened = self
            .engine
            .open(TorrentSource::Magnet(magnet), options)
            .await;
        self.state
            .open_error()
            .set(opened.err().map(|error| sentence(&error)));
    }

    async fn start(&self, torrent: InfoHash) {
        let place = self.place(torrent);
        let destination = platform::destination(place.as_ref());
        let started = self.engine.start_download(torrent, destination).await;
        self.tell(torrent, started);
    }

    async fn remove(&self, torrent: InfoHash) {
        self.engine.remove(torrent).await;
        self.places.borrow_mut().remove(&torrent);
        self.tell(torrent, Ok(()));
    }

    async fn save(&self, torrent: InfoHash) {
        let saved = self.engine.save(torrent, self.facts.save_mode).await;
        self.tell_saved(torrent, saved);
    }

    fn tell_saved(&self, torrent: InfoHash, saved: Result<(), EngineError>) {
        // The second click of two is no mistake.
        if !matches!(saved, Err(EngineError::Saving)) {
            self.tell(torrent, saved);
        }
    }

    async fn choose_place(&self, torrent: InfoHash) {
        let present = self.place(torrent);
        if let Some(chosen) = Place::choose(present.as_ref()).await {
            self.places.borrow_mut().insert(torrent, chosen.clone());
            self.usual_place.replace(Some(chosen));
            self.refresh();
        }
    }

    fn show_place(&self, torrent: InfoHash) {
        let location = self.location(torrent);
        let shown = location.is_some_and(|location| platform::show(&location));
        let words = (!shown).then(|| "No program to show folders was found.".to_owned());
        self.set_error(torrent, words);
    }

    /// Shows the engine's snapshots as they come, at most ten a second.
    async fn show(self: Rc<Self>) {
        let mut snapshots = self.engine.snapshots();
        loop {
            snapshots.mark_unchanged();
            self.refresh();
            if snapshots.changed().await.is_err() {
                return;
            }
        }
    }

    /// Shows the engine's last snapshot and what is known here beside it.
    fn refresh(&self) {
        let snapshots = self.engine.snapshots();
        let snapshot = Arc::clone(&snapshots.borrow());
        let local = |torrent| Local {
            place: self.place(torrent).map(|place| place.to_string()),
        };
        let mut viewer = self.viewer.borrow_mut();
        let View { torrents, trackers } = viewer.view(&snapshot, &self.facts, local);
        let complaints: Vec<_> = snapshot.complaints.iter().map(sentence).collect();
        let shown = (!complaints.is_empty()).then(|| complaints.join(" "));
        if *self.state.complaints().peek() != shown {
            self.state.complaints().set(shown);
        }
        // What has not changed is not written, so that nothing is drawn anew for it.
        if *self.state.torrents().peek() != torrents {
            self.state.torrents().set(torrents);
        }
        if *self.state.trackers().peek() != trackers {
            self.state.trackers().set(trackers);
        }
    }

    fn place(&self, torrent: InfoHash) -> Option<Place> {
        let own = self.places.borrow().get(&torrent).cloned();
        own.or_else(|| self.usual_place.borrow().clone())
    }

    fn location(&self, torrent: InfoHash) -> Option<String> {
        let snapshots = self.engine.snapshots();
        let snapshot = snapshots.borrow();
        let view = snapshot
            .torrents
            .iter()
            .find(|view| view.torrent.info_hash == torrent)?;
        view.location.clone()
    }

    fn tell(&self, torrent: InfoHash, result: Result<(), EngineError>) {
        self.set_error(torrent, result.err().map(|error| sentence(&error)));
    }

    fn set_error(&self, torrent: InfoHash, error: Option<String>) {
        let id = TorrentId::Known(torrent);
        let mut errors = self.state.torrent_errors();
        match error {
            Some(error) => {
                errors.write().insert(id, error);
            }
            None if errors.peek().contains_key(&id) => {
                errors.write().remove(&id);
            }
            None => {}
        }
    }
}

/// Makes an error message a sentence.
fn sentence(error: &impl ToString) -> String {
    let text = error.to_string();
    let mut characters = text.chars();
    let first: String = characters
        .by_ref()
        .take(1)
        .flat_map(char::to_uppercase)
        .collect();
    format!("{first}{}.", characters.as_str().trim_end_matches('.'))
}

/// Commands that may wait: more than anybody clicks while the engine starts.
const QUEUE: usize = 64;
