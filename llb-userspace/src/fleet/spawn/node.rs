//! Whether a command runs Node, which takes `NODE_CHANNEL_FD` for its own.
//!
//! A Node that has that variable and not the descriptor, as one that a Python worker runs, ends by SIGABRT; so only those
//! get it whose channel Node's own code reads.

use std::{
    env,
    ffi::OsStr,
    fs::File,
    io::Read,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::{Order, diagnosis::search};

/// Node, and what is written in it and runs a script in the process of its own, or is replaced by it.
const NODE: [&str; 11] = ["node", "nodejs", "npm", "npx", "yarn", "yarnpkg", "pnpm", "pnpx", "corepack", "bun", "tsx"];

/// As much of a script as its first line may have (`BINPRM_BUF_SIZE`).
const FIRST_LINE: u64 = 256;

/// What reads a line of commands from an argument.
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "ash", "zsh", "busybox"];

/// What ends a word in such a line.
const BETWEEN_WORDS: &[u8] = b" \t\n;&|(){}'\"";

/// Whether the command is Node, by way of another or not, a script that names Node in its first line, or a shell's line
/// that does.
pub(super) fn runs_node(order: &Order<'_>) -> bool {
    let is_shell = SHELLS.iter().any(|shell| name(order.program) == *shell);
    let mut words = std::iter::once(order.program).chain(order.args.iter().map(AsRef::as_ref)).map(OsStr::as_bytes);
    words.any(|word| is_node(word) || (is_shell && word.split(|byte| BETWEEN_WORDS.contains(byte)).any(is_node)))
        || is_script_of_node(order)
}

fn name(program: &OsStr) -> &str {
    Path::new(program).file_name().and_then(OsStr::to_str).unwrap_or_default()
}

/// Whether it only passes on to Node what Node needs, but keeps the descriptors to itself.
#[must_use]
pub fn keeps_descriptors(program: &OsStr) -> bool {
    ["npm", "npx", "yarn", "yarnpkg", "pnpm", "pnpx", "corepack"].contains(&name(program))
}

fn is_node(word: &[u8]) -> bool {
    let name = word.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    NODE.iter().any(|node| node.as_bytes() == name)
}

fn is_script_of_node(order: &Order<'_>) -> bool {
    let directory = order.directory.unwrap_or(Path::new("."));
    let path: Option<PathBuf> = match order.program.as_bytes().contains(&b'/') {
        true => Some(directory.join(order.program)),
        false => search(order.program, &env::var_os("PATH").unwrap_or_default(), directory),
    };
    let mut head = Vec::new();
    let read = path.and_then(|path| File::open(path).ok()).map(|file| file.take(FIRST_LINE).read_to_end(&mut head));
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    read.is_some_and(|read| read.is_ok())
        && line.starts_with(b"#!")
        && line[2..].split(u8::is_ascii_whitespace).any(is_node)
}

#[cfg(test)]
mod tests {
    use std::ffi::{OsStr, OsString};

    use super::{keeps_descriptors, runs_node};
    use crate::{
        fleet::spawn::{Order, Output},
        model::{Generation, Slot},
        sys::child::Scheduling,
    };

    fn is_node(command: &[&str]) -> bool {
        let args: Vec<OsString> = command[1..].iter().map(Into::into).collect();
        runs_node(&Order {
            program: OsStr::new(command[0]),
            args: &args,
            directory: None,
            slot: Slot(0),
            number: 0,
            generation: Generation(1),
            identity: None,
            notify: None,
            scheduling: Scheduling::default(),
            output: Output::Inherited,
        })
    }

    #[test]
    fn node_is_known_by_its_name_and_by_a_scripts_first_line() {
        let directory = tempfile::tempdir().unwrap();
        let script = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let of_node = script("server", "#!/usr/bin/env -S node --no-warnings\n");
        let of_python = script("app", "#!/usr/bin/env python3\n# not for node\n");
        for command in [
            &["node", "server.js"][..],
            &["/usr/local/bin/node", "server.js"],
            &["npm", "start"],
            &["sh", "-c", "cd /app; exec node server.js"],
            &["env", "A=1", "node", "server.js"],
            &[&of_node],
        ] {
            assert!(is_node(command), "{command:?}");
        }
        for command in [
            &["python3", "node.py"][..],
            &["gunicorn", "nodes:app"],
            &["python3", "-c", "run(['node'])"],
            &[&of_python],
            &["no-such-program"],
        ] {
            assert!(!is_node(command), "{command:?}");
        }
        assert!(keeps_descriptors(OsStr::new("/usr/bin/npm")) && !keeps_descriptors(OsStr::new("node")));
    }
}
