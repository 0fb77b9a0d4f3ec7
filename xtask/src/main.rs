//! The project's own chores, one module each: `cargo run -p xtask -- CHORE`.
//!
//! Owns choosing the chore. Never used by what is shipped.

mod bench;
mod bench_move;
mod chaos_move;
mod demo;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo run -p xtask -- demo | demo-classic | crash-move [few] | chaos-move [few] | bench [WORD] | bench-move [WORD]";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["demo"] => demo::main(),
        ["demo-classic"] => demo::classic(),
        ["crash-move"] => demo::with_deaths(false),
        ["crash-move", "few"] => demo::with_deaths(true),
        ["chaos-move"] => chaos_move::main(false),
        ["chaos-move", "few"] => chaos_move::main(true),
        ["bench"] => bench::run(""),
        ["bench", word] => bench::run(word),
        ["bench-move"] => bench_move::run(""),
        ["bench-move", word] => bench_move::run(word),
        _ => {
            #[allow(clippy::print_stderr)]
            {
                eprintln!("{USAGE}");
            }
            ExitCode::from(2)
        }
    }
}
