//! Whether a fleet can have its directory, its lock and its control socket.

use std::{fs, io, path::Path};

use super::missing::{Missing, Tried};
use crate::{
    causes::chain,
    config::Name,
    control::Server,
    fleet::{LockError, RuntimeDir},
};

/// Makes them, and removes them and what had to be made above them.
pub(super) fn try_out(root: &Path, name: &Name) -> Tried<()> {
    let made: Vec<&Path> = root.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect();
    let tried = take(root, name);
    for path in made {
        // A fleet that has moved in meanwhile keeps it.
        let _ = fs::remove_dir(path);
    }
    tried.map(|()| ((), format!("{}: lock and control socket", root.display())))
}

fn take(root: &Path, name: &Name) -> Result<(), Missing> {
    let directory = RuntimeDir::take(root, name).map_err(|error| match &error {
        LockError::Io { action, path, source } => Missing::new(
            format!("cannot {action} {}: {source}", path.display()),
            match source.kind() {
                io::ErrorKind::ReadOnlyFilesystem => {
                    "give llb a directory that it may write to with --runtime-dir (a container: --tmpfs /run/llb)"
                }
                _ => "run llb as root, or give it a directory that it may write to with --runtime-dir",
            },
        ),
        error => Missing::new(chain(error), "give llb a directory of its own with --runtime-dir"),
    })?;
    let socket = Server::open(directory.path());
    socket
        .map(drop)
        .map_err(|error| Missing::error(&error, "give a shorter --runtime-dir, on a file system with sockets"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::try_out;

    #[tokio::test]
    async fn nothing_of_it_stays() {
        let there = tempfile::tempdir().unwrap();
        let name = "doctor-test".parse().unwrap();
        try_out(&there.path().join("a/b"), &name).unwrap();
        try_out(there.path(), &name).unwrap();
        assert_eq!(fs::read_dir(there.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_place_that_cannot_be_had_is_named() {
        let there = tempfile::tempdir().unwrap();
        let file = there.path().join("file");
        fs::write(&file, "").unwrap();
        let missing = try_out(&file.join("sub"), &"doctor-test".parse().unwrap()).unwrap_err();
        assert!(missing.what.contains("file/sub") && missing.remedy.contains("--runtime-dir"), "{missing:?}");

        let long = there.path().join("x".repeat(120));
        let missing = try_out(&long, &"doctor-test".parse().unwrap()).unwrap_err();
        assert!(missing.what.contains("control") && missing.remedy.contains("shorter"), "{missing:?}");
        assert!(!long.exists());
    }
}
