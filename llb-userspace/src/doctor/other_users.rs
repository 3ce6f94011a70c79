//! Whether workers may be others than llb: one is started as a user without rights, looked into and ended.

use nix::{
    sys::signal::Signal,
    unistd::{Gid, Uid, geteuid},
};

use super::{OTHER_USERS, Sheet, ground::Ground, machine};
use crate::{
    fleet::Identity,
    model::Slot,
    sys::{child::CHANNEL_FD, procfs},
};

/// A user and group who are nobody everywhere (`overflowuid`).
const NOBODY: u32 = 65534;

/// Not llb's business if it does not work: then without.
pub(super) async fn try_out(sheet: &mut Sheet, ground: Option<&mut Ground>) {
    match machine::other_users() {
        Err(lacking) => sheet.note(OTHER_USERS, lacking),
        Ok(rights) => {
            let Some(ground) = ground else { return };
            match start(ground).await {
                Ok(()) => sheet.enter(OTHER_USERS, Ok(((), rights))).unwrap_or_default(),
                Err(error) => sheet.note(OTHER_USERS, format!("no --user: a worker of user {NOBODY}: {error}")),
            }
        }
    }
}

async fn start(ground: &mut Ground) -> anyhow::Result<()> {
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    let identity = Identity { uid, gid, groups: vec![gid], login: None };
    let identity = (geteuid() != uid).then_some(identity);
    let mut helper = ground.spawn(Slot(0), &[], identity.as_ref()).map_err(|missing| anyhow::anyhow!(missing.what))?;
    let word = helper.word().await?;
    anyhow::ensure!(word.is_empty(), "it says {word}");
    let found = procfs::socket_fds(helper.pid())?.iter().any(|socket| socket.fd == CHANNEL_FD);
    anyhow::ensure!(found, "what it has open is not seen");
    helper.pidfd().get_fd(CHANNEL_FD)?;
    helper.pidfd().signal(Signal::SIGTERM)?;
    Ok(())
}
