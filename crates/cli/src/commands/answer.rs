//! `piton answer`: a person fills in what a run asks, or says that a manual step is done.
//!
//! Owns turning `FIELD=VALUE` into typed fields; see `fields`.

use crate::args::AnswerArgs;
use crate::commands::approve::{Given, asked_at, give};
use crate::commands::ended::ended;
use crate::commands::{fields, names, waker};
use crate::error::{CliError, Kind};
use crate::exit::Exit;
use crate::ui::text::path_word;
use crate::world;
use piton_core::event::Answer;
use piton_core::hold::Decision;
use piton_core::ports::Store as _;
use piton_core::request::Ask;

pub(crate) fn run(args: AnswerArgs) -> Result<Exit, CliError> {
    let wire = waker::open()?;
    let run = wire.store.find(&args.run)?.id;
    let state = wire.state(&run)?;
    if state.finished.is_some() {
        return Err(ended(&wire, &run, &state));
    }
    let (path, asked) = asked_at(&state, names::step(&state, &args.step, run.short())?, &run)?;
    let answer = match (&asked.ask, args.done) {
        (Ask::Fields { fields: wanted }, false) => Answer::Fields { fields: fields::parse(wanted, &args.fields)? },
        (Ask::Manual { .. }, true) if args.fields.is_empty() => Answer::Done,
        (Ask::Fields { .. }, true) => {
            return Err(CliError::new(Kind::Usage, "--done is for manual steps; this question asks for fields"));
        }
        (Ask::Manual { .. }, _) => {
            let command = format!("piton answer {} {} --done", run.short(), path_word(&path));
            return Err(CliError::new(Kind::Usage, "a manual step takes no fields; say that it is done").hint(command));
        }
        (Ask::Approve { .. }, _) => {
            let command = format!("piton approve {} {}", run.short(), path_word(&path));
            return Err(CliError::new(Kind::Usage, "this question asks for an approval").hint(command));
        }
    };
    let decision = Decision { by: world::actor(args.actor.as_deref()), saw: asked.shown, why: args.reason };
    give(&wire, &run, &state, Given { path, asked, answer, decision })
}
