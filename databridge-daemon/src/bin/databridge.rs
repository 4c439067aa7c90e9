//! The command line `databridge`.

use std::process::ExitCode;

fn main() -> ExitCode {
    databridge_daemon::cli::main()
}
