//! Admin function: checks a deployment from the inside. `cargo doctor` is the package `tools/doctor`.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve_admin::<handler::CheckDeployment>()
}
