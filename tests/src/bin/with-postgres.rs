//! `with-postgres COMMAND…`: starts one PostgreSQL, runs the command with
//! `DATABRIDGE_TEST_POSTGRES` naming it, stops it, and ends with the command's
//! exit code. One server then serves a whole run of tests.
#![allow(clippy::expect_used)]

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};

use databridge_tests::postgres::{Durability, Server, VARIABLE};

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let Some(program) = words.next() else {
        eprintln!("usage: with-postgres COMMAND [ARGUMENT…]");
        return ExitCode::from(2);
    };
    let server = Server::start(Durability::Off);
    let status = Command::new(&program).args(words).env(VARIABLE, server.admin_url()).status();
    drop(server);
    match status {
        // As a shell says it.
        Ok(status) => {
            let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            ExitCode::from(u8::try_from(code).unwrap_or(1))
        }
        Err(error) => {
            eprintln!("with-postgres: cannot start {}: {error}", program.display());
            ExitCode::from(127)
        }
    }
}
