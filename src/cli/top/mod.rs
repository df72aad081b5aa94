//! The live view in the terminal: what the daemon is doing, and who its clients are.

mod grid;
mod model;
mod tally;
#[cfg(test)]
mod tests;
mod view;
mod watcher;
mod wish;

use std::io::{self, IsTerminal};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyEventKind};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use self::model::{Deed, Model};
use self::view::{Paint, draw};
use self::watcher::{Blind, News, Task, Watcher};
use super::arguments::TopOptions;
use super::client::runtime;
use super::exit::{ExitStatus, fail};
use super::output::complain;
use super::socket::{self, Errand};

/// How often it is looked whether there is news while no key is pressed: shorter than anybody notices.
const PACE: Duration = Duration::from_millis(50);

/// How many keys are taken before it is drawn: more than a filter is long, and few enough that an endless paste is seen to go on.
const KEYS_MAX: usize = 1000;

/// Shows what the daemon is doing, until the user has seen enough.
pub(super) fn top(options: &TopOptions) -> ExitStatus {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        complain(
            "top needs a terminal; `smartproxy status`, `smartproxy connections` and /metrics say the same elsewhere",
        );
        return ExitStatus::Usage;
    }
    let (socket, runtime) = match socket::find(&options.way, Errand::Top).and_then(|socket| Ok((socket, runtime()?))) {
        Ok(found) => found,
        Err(status) => return status,
    };
    let (mut model, (news, heard)) = (Model::default(), channel());
    let watcher = Watcher { socket: socket.clone(), every: options.every, path: model.path(), news };
    // Before the terminal is taken: who cannot be reached is said as every other command says it.
    match runtime.block_on(watcher.see()) {
        Ok(sight) => model.see(sight),
        Err(Blind::Lost(lost)) => return lost.tell(&socket, Errand::Top),
        Err(Blind::Odd(what)) => {
            complain(what);
            return ExitStatus::Unavailable;
        }
    }
    let (tasks, given) = unbounded_channel();
    let thread = std::thread::Builder::new().name("watcher".into());
    if let Err(error) = thread.spawn(move || runtime.block_on(watcher.run(given))) {
        return fail(ExitStatus::System, &error);
    }
    let coloured = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // A panic gives the terminal back before it says its word.
    let shown = ratatui::try_init().and_then(|mut terminal| {
        let draw = |model: &Model| terminal.draw(|frame| draw(frame, model, Paint { coloured })).map(drop);
        show(&mut model, &heard, &tasks, next_event, draw)
    });
    let restored = ratatui::try_restore();
    match shown.and(restored) {
        Ok(()) => ExitStatus::Ok,
        Err(error) => fail(ExitStatus::System, &error),
    }
}

/// What comes from the terminal, if it comes within that time.
fn next_event(patience: Duration) -> io::Result<Option<Event>> {
    if event::poll(patience)? { event::read().map(Some) } else { Ok(None) }
}

/// Shows what there is, and does what the keys say.
fn show(
    model: &mut Model,
    heard: &Receiver<News>,
    tasks: &UnboundedSender<Task>,
    mut next: impl FnMut(Duration) -> io::Result<Option<Event>>,
    mut draw: impl FnMut(&Model) -> io::Result<()>,
) -> io::Result<()> {
    draw(model)?;
    loop {
        let mut changed = false;
        // All that is there at once is taken before anything is drawn: what is pasted is many keys.
        for place in 0..KEYS_MAX {
            let Some(event) = next(if place == 0 { PACE } else { Duration::ZERO })? else { break };
            changed = true;
            // Others report releases too.
            if let Event::Key(key) = event
                && key.kind != KeyEventKind::Release
            {
                let task = match model.press(key) {
                    Deed::Quit => return Ok(()),
                    Deed::Show => None,
                    Deed::Ask => Some(Task::Ask(model.path())),
                    Deed::Kill(id) => Some(Task::Kill(id)),
                };
                // It listens for as long as we do.
                task.map(|task| tasks.send(task));
            }
        }
        loop {
            match heard.try_recv() {
                Ok(News::Seen(sight)) => model.see(*sight),
                Ok(News::Trouble(trouble)) => model.trouble = Some(trouble),
                Ok(News::Notice(notice)) => model.notice = Some(notice),
                Ok(News::Quit) | Err(TryRecvError::Disconnected) => return Ok(()),
                Err(TryRecvError::Empty) => break,
            }
            changed = true;
        }
        if changed {
            draw(model)?;
        }
    }
}
