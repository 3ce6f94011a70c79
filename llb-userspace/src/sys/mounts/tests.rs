use std::{os::unix::ffi::OsStrExt, path::Path};

use proptest::prelude::{ProptestConfig, any, prop, proptest};

use nix::unistd::Pid;

use super::{
    Mount, MountsError, OwnCgroup, cgroup_name, cgroup_of, cgroup2_mount, depth, locate, own_cgroup, own_path, unescape,
};

const HYBRID: &[u8] = b"22 1 0:21 / /sys rw - sysfs sysfs rw\n\
    31 22 0:27 / /sys/fs/cgroup ro shared:9 - tmpfs tmpfs ro\n\
    33 31 0:28 / /sys/fs/cgroup/memory rw shared:11 master:2 - cgroup cgroup rw,memory\n\
    41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:10 - cgroup2 cgroup2 rw\n";

#[test]
fn the_hybrid_layout_is_not_mistaken_for_version_1() {
    let mount = cgroup2_mount(HYBRID).unwrap();
    assert_eq!(mount, Mount { point: "/sys/fs/cgroup/unified".into(), root: "/".into() });
    assert_eq!(cgroup2_mount(b"22 1 0:21 / /sys rw - sysfs sysfs rw\n\n"), None);
}

#[test]
fn a_mount_that_is_covered_is_not_taken() {
    let with = |line: &str| [HYBRID, line.as_bytes()].concat();
    let point = |mountinfo: &[u8]| cgroup2_mount(mountinfo).map(|mount| mount.point);
    // Over the whole directory, right on it, and over a directory above it.
    let over = with("50 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    assert_eq!(point(&over), Some("/sys/fs/cgroup".into()));
    assert_eq!(point(&with("50 41 0:50 / /sys/fs/cgroup/unified rw - tmpfs tmpfs rw\n")), None);
    assert_eq!(point(&with("50 22 0:50 / /sys/fs rw - tmpfs tmpfs rw\n")), None);
    assert_eq!(point(&with("50 22 0:50 / /sys/fs/cg rw - tmpfs tmpfs rw\n")), point(HYBRID));
}

#[test]
fn the_root_of_an_initramfs_covers_nothing() {
    let mountinfo = b"1 1 0:2 / / rw - rootfs rootfs rw\n\
        18 1 0:21 / /sys rw,relatime - sysfs sysfs rw\n\
        20 18 0:23 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n";
    assert_eq!(cgroup2_mount(mountinfo).map(|mount| mount.point), Some("/sys/fs/cgroup".into()));
}

#[test]
fn escapes_are_undone() {
    let mount = cgroup2_mount(br"41 31 0:38 / /mnt/my\040groups\134x rw - cgroup2 none rw").unwrap();
    assert_eq!(mount.point, Path::new(r"/mnt/my groups\x"));
    assert_eq!(unescape(br"ends\04"), Path::new(r"ends\04"));
}

#[test]
fn the_own_path_is_that_of_version_2() {
    let text = b"4:memory:/a\n1:name=systemd:/b\n0::/user.slice/session-3.scope\n";
    assert_eq!(own_path(text), Some("/user.slice/session-3.scope".into()));
    assert_eq!(own_path(b"4:memory:/a\n"), None);
}

#[test]
fn a_part_of_the_hierarchy_may_be_mounted() {
    let mount = Mount { point: "/sys/fs/cgroup".into(), root: "/docker/abc".into() };
    assert_eq!(locate(&mount, Path::new("/docker/abc/x")).unwrap(), Path::new("/sys/fs/cgroup/x"));
    assert!(matches!(locate(&mount, Path::new("/other")), Err(MountsError::OutOfSight { .. })));
    let whole = Mount { point: "/sys/fs/cgroup".into(), root: "/".into() };
    assert_eq!(locate(&whole, Path::new("/")).unwrap(), Path::new("/sys/fs/cgroup/"));
    assert!(matches!(locate(&whole, Path::new("/../other")), Err(MountsError::OutOfSight { .. })));
}

#[test]
fn depth_counts_names() {
    assert_eq!(depth(Path::new("/")), 0);
    assert_eq!(depth(Path::new("/user.slice/session-3.scope")), 2);
}

#[test]
fn this_process_lives_somewhere() {
    let OwnCgroup { path, .. } = own_cgroup().unwrap();
    let here = std::fs::read_to_string(path.join("cgroup.procs")).unwrap();
    assert!(here.lines().any(|line| line == std::process::id().to_string()));
    assert_eq!(cgroup_name(&path).unwrap(), cgroup_of(Pid::this()).unwrap());
    assert!(matches!(cgroup_name(Path::new("/nowhere")), Err(MountsError::NotMounted)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_escaped_path_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let escaped: Vec<u8> = bytes.iter().flat_map(|byte| format!("\\{byte:03o}").into_bytes()).collect();
        let plain = unescape(&escaped);
        proptest::prop_assert_eq!(plain.as_os_str().as_bytes(), bytes);
    }

    #[test]
    fn no_text_is_a_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
        cgroup2_mount(&text);
        own_path(&text);
    }
}
