//! The `flowhouse` command: arguments in, exit code out.
fn main() -> std::process::ExitCode {
    flowhouse::cli::main()
}
