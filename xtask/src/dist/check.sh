# Runs in a system of Debian's packages: `cargo xtask dist --check`. $1 to $3: llb's packages in /, $4: its version.
deb=/$1 rpm=/$2 tar=/$3 version=$4

fail() {
    echo "the packages are wrong: $*" >&2
    exit 1
}

nothing_left() {
    left=$(find / -xdev \( -name 'llb*' -o -name _llb \) -not -path "$deb" -not -path "$rpm" -not -path "$tar" -not -path '/var/cache/*')
    [ -z "$left" ] || fail "$1 leaves $left"
}

says_its_version() {
    hash -r
    [ "$(llb --version)" = "llb $version" ] || fail "llb from $1 says $(llb --version)"
}

nothing_left "a system without llb"

dpkg --install "$deb" > /dev/null
says_its_version "the deb"
# It loads its programs and runs workers of its own.
llb doctor
llb check -n 2 -- true > /dev/null
for page in /usr/share/man/man1/llb*.1*; do
    name=$(basename "$page")
    name=${name%%.1*}
    said=$(MANWIDTH=80 man --warnings --encoding=UTF-8 "$name" 2>&1 > /tmp/page)
    [ -z "$said" ] || fail "man says of $name: $said"
    grep -q NAME /tmp/page || fail "there is nothing on the page $name"
done
[ -n "${name:-}" ] || fail "there are no pages"
man llb-run | grep -q -e --drain-timeout || fail "llb-run(1) lacks an option"
# As bash asks for the words that begin with "re".
words=$(
    source /usr/share/bash-completion/completions/llb
    complete -p llb > /dev/null
    COMP_WORDS=(llb re) COMP_CWORD=1
    _llb llb re llb
    echo "${COMPREPLY[@]}"
)
[ "$words" = "reload restart" ] || fail "bash completes re to $words"
zsh --no-exec /usr/share/zsh/vendor-completions/_llb
grep -q '^ExecStart=/usr/bin/llb ' /usr/lib/systemd/system/llb.service || fail "the unit starts another llb"
# Static: it needs nothing but itself.
mkdir /tmp/bare
cp /usr/bin/llb /tmp/bare
[ "$(chroot /tmp/bare /llb --version)" = "llb $version" ] || fail "llb is not static"
rm -r /tmp/bare
files() {
    while read -r file; do [ -d "$file" ] || echo "$file"; done
}
# cargo-deb compresses pages, and adds what Debian wants to know.
dpkg --listfiles llb | files | sed '/\/copyright$/d; s/\.gz$//' | sort > /tmp/deb-files
dpkg --purge llb > /dev/null
nothing_left "the deb"

# This system's rpm knows no package, not even of its own shell; and it would rather not be asked.
rpm --force-debian --install --nodeps "$rpm"
says_its_version "the rpm"
rpm --verify --nodeps llb
rpm --query --list llb | files | sort > /tmp/rpm-files
diff /tmp/deb-files /tmp/rpm-files || fail "deb and rpm have other files"
rpm --erase llb
nothing_left "the rpm"

tar --strip-components=1 -C /usr/local -xzf "$tar"
says_its_version "the tarball"
grep -q '^ExecStart=/usr/local/bin/llb ' /usr/local/lib/systemd/system/llb.service || fail "the tarball's unit starts another"
