//! Whether workers may be others than llb: one is started as a user without rights, looked into and ended.

use nix::{
    sys::signal::Signal,
    unistd::{Gid, Uid, geteuid},
};

use super::{Findings, OTHER_USERS, fixture::CgroupFixture, machine};
use crate::{
    config::Identity,
    model::Slot,
    sys::{child::CHANNEL_FD, procfs},
};

/// A user and group who are nobody everywhere (`overflowuid`).
const NOBODY: u32 = 65534;

/// Not llb's business if it does not work: then without.
pub(super) async fn try_out(report: &mut Findings, fixture: Option<&mut CgroupFixture>) {
    match machine::other_users() {
        Err(lacking) => report.note(OTHER_USERS, lacking),
        Ok(rights) => {
            let Some(fixture) = fixture else { return };
            match start(fixture).await {
                Ok(()) => report.enter(OTHER_USERS, Ok(((), rights))).unwrap_or_default(),
                Err(error) => report.note(OTHER_USERS, format!("no --user: a worker of user {NOBODY}: {error}")),
            }
        }
    }
}

async fn start(fixture: &mut CgroupFixture) -> anyhow::Result<()> {
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    let identity = Identity { uid, gid, groups: vec![gid], login: None };
    let identity = (geteuid() != uid).then_some(identity);
    let mut helper = fixture.spawn(Slot(0), &[], identity.as_ref()).map_err(|missing| anyhow::anyhow!(missing.what))?;
    let word = helper.word().await?;
    anyhow::ensure!(word.is_empty(), "it says {word}");
    let found = procfs::socket_fds(helper.pid())?.iter().any(|socket| socket.fd == CHANNEL_FD);
    anyhow::ensure!(found, "what it has open is not seen");
    helper.pidfd().get_fd(CHANNEL_FD)?;
    helper.pidfd().signal(Signal::SIGTERM)?;
    Ok(())
}
