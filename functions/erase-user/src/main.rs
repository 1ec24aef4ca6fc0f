//! Admin function: erases a user on an operator's request.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve_admin::<handler::EraseUser>()
}
