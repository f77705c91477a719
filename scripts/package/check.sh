# Whether the packages are what they are said to be. Sourced by package.sh.
# shellcheck shell=bash disable=SC2154

# The oldest glibc with which the program may run: RHEL 9's.
most_glibc=2.34

# What the program may want of the system, and the packages may ask for.
libraries="libc.so.6 libgcc_s.so.1 libm.so.6"
deb_depends="libc6 (>= $most_glibc), libnss-systemd"
rpm_requires="/bin/sh libc.so.6(GLIBC_$most_glibc)(64bit) libgcc_s.so.1()(64bit) libm.so.6()(64bit)"

check() {
    check_program "$folder/build/release/virt-otel"
    check_deb "$folder/$deb"
    check_rpm "$folder/$rpm"
}

# The symbols that it imports say which glibc it needs; libgcc_s belongs to what glibc itself depends on.
check_program() {
    local newest wanted
    [ "$("$1" --version)" = "virt-otel $version" ] || fail "the program says '$("$1" --version)'"
    newest=$(objdump -T "$1" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)
    [ "$(printf '%s\n' "GLIBC_$most_glibc" "$newest" | sort -V | tail -n 1)" = "GLIBC_$most_glibc" ] ||
        fail "the program needs $newest, newer than $most_glibc: build it on Debian 12"
    wanted=$(objdump -p "$1" | sed -n 's/^ *NEEDED *//p' | sort | tr '\n' ' ')
    [ "${wanted% }" = "$libraries" ] || fail "the program wants $wanted, and should want $libraries"
    readelf --sections --wide "$1" | grep -q ' \.dep-v0 ' || fail "the program has no list of its dependencies (.dep-v0)"
    ! grep -aqF "$root" "$1" "$folder/files/virt-otel.cdx.json" || fail "the program, or its list, has a path of this machine"
    result program "$(stat -c %s "$1") bytes, $newest"
}

# same WHAT FOUND EXPECTED
same() { [ "$2" = "$3" ] || fail "$1 is '$2', and should be '$3'"; }

check_deb() {
    local said
    same "what the .deb depends on" "$(dpkg-deb --field "$1" Depends)" "$deb_depends"
    same "the .deb's version" "$(dpkg-deb --field "$1" Version)" "$version-1"
    same "the .deb's home page" "$(dpkg-deb --field "$1" Homepage)" "$(source_url)"
    said=$(lintian --fail-on error,warning "$1" 2>&1) || fail "lintian: $said"
    result deb "$(stat -c %s "$1") bytes, $(dpkg-deb --contents "$1" | grep -vc '/$') files, lintian has nothing to say"
}

check_rpm() {
    local said
    said=$(rpm --query --package --requires "$1" | grep -v '^rpmlib(\|^config(' | sort -u | tr '\n' ' ')
    same "what the .rpm requires" "${said% }" "$rpm_requires"
    said=$(rpm --query --package --queryformat '%|URL?{%{URL}}|' "$1")
    same "the .rpm's home page" "$said" "$(source_url)"
    said=$(rpmlint --config deploy/packages/rpmlint.toml "$1" 2>&1) || fail "rpmlint: $said"
    result rpm "$(stat -c %s "$1") bytes, $(rpm --query --package --list "$1" | wc -l) files and folders, rpmlint has nothing to say"
}
