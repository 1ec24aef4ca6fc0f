//! A folder with copies of files of the project and the only programs that the commands find.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dev_tools::dev::EnvFile;
use local_stack::LocalStack;
use local_stack::aws::FakeAws;
use local_stack::lambda;
use local_stack::toolchain::AWS_CLI;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use super::page::Page;
use crate::support::project_files::root;

/// Programs of the machine. `aws` is a pinned tool, and `cargo doctor` the program of the tests.
const PROGRAMS: [&str; 8] = ["chmod", "curl", "date", "jq", "openssl", "psql", "sed", "sleep"];

/// Programs that only record their arguments, and why they do not run.
const RECORDED: [(&str, &str); 7] = [
    ("cargo", "it would wait for other builds; `cargo doctor` runs"),
    ("git", "the sandbox has no repository"),
    ("npm", "other tests install the packages and run the scripts"),
    ("pip", "other tests install the pinned tools"),
    ("rustup", "the toolchain of the machine must not change"),
    ("sam", "it would build and deploy; a test validates the template"),
    ("supabase", "its CLI is not in a registry of pinned tools, and needs an account"),
];

/// What the commands read or change.
const COPIED: [&str; 9] = [
    "examples/agent-python/agent.py",
    "examples/agent-python/requirements.txt",
    "examples/web/package-lock.json",
    "examples/web/package.json",
    "shared/Cargo.toml",
    "supabase/webhook.sql",
    "template.yaml",
    "web/package-lock.json",
    "web/package.json",
];

/// Time for the commands of one page on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Ends a recorded command.
const END: &str = "\u{1e}";

pub struct Sandbox {
    folder: TempDir,
    aws: BTreeMap<String, String>,
    _env_file: EnvFile,
}

pub struct Ran {
    /// The text on standard output and standard error.
    pub shown: String,
    pub calls: Vec<Call>,
}

/// A recorded command.
#[derive(Debug)]
pub struct Call {
    pub page: String,
    pub program: String,
    pub folder: PathBuf,
    pub arguments: Vec<String>,
}

/// The first program that the machine does not have.
pub fn missing_program() -> Option<&'static str> {
    PROGRAMS.into_iter().find(|program| find(program).is_none())
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

impl Sandbox {
    pub async fn new(stack: &LocalStack, aws: &FakeAws) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path();
        for name in COPIED {
            let copy = path.join(name);
            fs::create_dir_all(copy.parent().context("a file without a folder")?)?;
            fs::copy(root()?.join(name), copy).with_context(|| format!("copying {name}"))?;
        }
        // The local stack has its own pg_net and Vault, which are no extensions.
        let webhook = fs::read_to_string(path.join("supabase/webhook.sql"))?;
        let lines = webhook.lines().filter(|line| !line.starts_with("create extension "));
        fs::write(path.join("supabase/webhook.sql"), lines.collect::<Vec<_>>().join("\n") + "\n")?;
        // Where a page tells to clone the project.
        symlink(path, path.join("chatkit-sessions"))?;
        fs::write(path.join("production.env"), "")?;
        fs::write(path.join("input"), "what-the-operator-pastes-0123456789\n")?;
        let env_file = EnvFile::write_to(stack, path.join(".env.local"))?;
        let sandbox = Self { aws: aws.environment(), _env_file: env_file, folder };
        sandbox.write_programs().await?;
        Ok(sandbox)
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    async fn write_programs(&self) -> Result<()> {
        let bin = self.path().join("bin");
        fs::create_dir(&bin)?;
        for program in PROGRAMS {
            symlink(find(program).context(program)?, bin.join(program))?;
        }
        let tool = AWS_CLI.install_async().await?;
        // For queues, the CLI reads the endpoint only from the option.
        let aws = exec(&tool.program("aws")).replace("\"$@\"", "--endpoint-url \"$AWS_ENDPOINT_URL\" \"$@\"");
        write_script(&bin.join("aws"), &aws)?;
        let uuid = "import uuid; print(uuid.uuid4())";
        let mut python = tool.python();
        python.args(["-c", uuid]);
        write_script(&bin.join("uuidgen"), &exec(&python))?;

        let record = format!("printf '%s\\0' \"${{0##*/}}\" \"$PWD\" \"$@\" '{END}' >> \"$CALLS\"\n");
        for (program, _reason) in RECORDED {
            write_script(&bin.join(program), &record)?;
        }
        let doctor = lambda::workspace_example("doctor").await?;
        let doctor = format!(
            "{record}[ \"$1\" = doctor ] || exit 0\nshift\n\
             case \" $*\" in *' --stack '*) ;; *) set -a; . '{}'; set +a ;; esac\nexec '{}' \"$@\"\n",
            self.path().join(".env.local").display(),
            doctor.display()
        );
        write_script(&bin.join("cargo"), &doctor)?;
        // An environment whose programs record.
        let venv = format!(
            "{record}[ \"$1 $2\" = '-m venv' ] || exit 1\n/bin/mkdir -p \"$3/bin\"\n\
             /bin/ln -sf '{bin}/npm' \"$3/bin/pip\"\n/bin/ln -sf '{bin}/npm' \"$3/bin/python\"\n",
            bin = bin.display()
        );
        write_script(&bin.join("python3"), &venv)?;
        // Until the agents have answered, which a person does not notice.
        let settle = "until [ \"$(psql \"$DATABASE_URL\" -XAtc \"select count(*) from public.deliveries
            where status in ('pending', 'running')\")\" = 0 ]; do sleep 0.1; done\n";
        write_script(&bin.join("read_the_answer"), settle)
    }

    /// Runs the commands of a page in one shell, and its queries in a transaction each.
    pub async fn run(&self, page: &Page, variables: &BTreeMap<String, String>) -> Result<Ran> {
        fs::create_dir_all(self.path().join(page.folder()))?;
        let recorded = self.path().join("calls");
        fs::write(&recorded, "")?;
        let mut script = page.script();
        if page.path.ends_with("runbook.md") {
            script += "\nask 'filter ispresent(code) | stats count(*) as times by function'\n";
        }
        let mut shown = self.shell(page, &script, variables, None).await?;
        for query in page.queries() {
            let psql = "exec psql \"$DATABASE_URL\" -X -v ON_ERROR_STOP=1 -v org=\"$ORG\" -v user_id=\"$USER_ID\" \
                        -v from=2026-01-01 -v to=2030-01-01 -v as_of=2030-01-01 -v service_level=900";
            let query = format!("begin;\n{query}\nrollback;\n");
            shown += &self.shell(page, psql, variables, Some(query)).await?;
        }
        let recorded = fs::read_to_string(recorded)?;
        let end = format!("{END}\0");
        let calls = recorded.split(&end).filter(|call| !call.is_empty());
        let calls = calls.map(|call| {
            let mut words = call.split_terminator('\0').map(str::to_owned);
            Ok(Call {
                page: page.path.clone(),
                program: words.next().context("no program")?,
                folder: PathBuf::from(words.next().context("no folder")?),
                arguments: words.collect(),
            })
        });
        Ok(Ran { shown, calls: calls.collect::<Result<_>>()? })
    }

    async fn shell(
        &self,
        page: &Page,
        script: &str,
        variables: &BTreeMap<String, String>,
        input: Option<String>,
    ) -> Result<String> {
        let mut shell = tokio::process::Command::new("/bin/sh");
        shell.args(["-euc", script]).current_dir(self.path().join(page.folder())).env_clear();
        shell.envs(&self.aws).envs(variables).env("PATH", self.path().join("bin"));
        if let Some(region) = self.aws.get("AWS_REGION") {
            // The first version of the CLI does not read the variable of the SDKs.
            shell.env("AWS_DEFAULT_REGION", region);
        }
        shell.env("CALLS", self.path().join("calls")).env("HOME", self.path()).env("TZ", "UTC");
        shell.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // Each command that reads standard input reads the whole file.
        let file = fs::File::open(self.path().join("input"))?;
        shell.stdin(if input.is_some() { Stdio::piped() } else { Stdio::from(file) });
        let mut process = shell.spawn().context("starting the shell")?;
        if let (Some(text), Some(mut pipe)) = (input, process.stdin.take()) {
            pipe.write_all(text.as_bytes()).await?;
        }
        let output = tokio::time::timeout(TIMEOUT, process.wait_with_output());
        let output = output.await.context("the commands do not end")??;
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "{}\n{script}\n{stdout}\n{stderr}", output.status);
        Ok(format!("{stdout}{stderr}"))
    }
}

/// A script that runs the command with its environment and further arguments.
fn exec(command: &Command) -> String {
    let quote = |text: &std::ffi::OsStr| format!("'{}'", text.to_string_lossy().replace('\'', r"'\''"));
    let variables = command.get_envs().filter_map(|(name, value)| {
        value.map(|value| format!("export {}={}\n", name.to_string_lossy(), quote(value)))
    });
    let words = std::iter::once(command.get_program()).chain(command.get_args()).map(quote);
    let words: Vec<String> = words.collect();
    variables.collect::<String>() + &format!("exec {} \"$@\"\n", words.join(" "))
}

fn write_script(path: &Path, script: &str) -> Result<()> {
    fs::write(path, format!("#!/bin/sh\n{script}"))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}
