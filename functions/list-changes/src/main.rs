//! `GET /chatkit/changes`: lists what changed since a cursor, for pages that poll.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve::<handler::ListChanges>()
}
