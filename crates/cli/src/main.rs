//! The command `phys-instruct`.

fn main() -> std::process::ExitCode {
    phys_instruct_cli::run_from_args()
}
