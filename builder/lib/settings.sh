# shellcheck shell=bash
# What can be checked before anything is downloaded or compiled: the extensions asked for, the link, and that the pins and go.mod
# name the same versions. Takes a second, so that a slip of the pen costs no more than that.

conf=$here/extensions.conf

known() { awk -v set="$1" '/^[^#]/ && (set == "any" || $2 == set) { print $1 }' "$conf"; }
field() { awk -v name="$1" -v n="$2" '/^[^#]/ && $1 == name { print $n }' "$conf"; }
reason() { sed -n "s/^$1 .*# //p" "$conf"; }
options() { sed -n "s/^$1  *[^ ]*  *[^ ]*  *[^ ]*  *//p" "$conf" | sed 's/ *#.*//'; }

# wanted_extensions REQUEST : a full list ("gd intl") or changes to the default ("+dba -xsl"), with what they need, in /tmp/wanted.
# Commas do as well as spaces.
wanted_extensions() {
    local word request=${1//,/ } removed=
    local -A wanted=()
    # Changes alone start from the default set; a list starts from nothing, and changes after it apply to it.
    if [[ ! " $request" =~ \ [a-z0-9] ]]; then
        for word in $(known default); do wanted[$word]=1; done
    fi
    for word in $request; do
        [ -n "$(field "${word#[+-]}" 1)" ] || unknown_extension "${word#[+-]}"
        case $word in
        -*) unset "wanted[${word#-}]" && removed+=" ${word#-}" ;;
        *) wanted[${word#+}]=1 ;;
        esac
    done
    printf '%s\n' "${!wanted[@]}" | sed '/^$/d' | with_needed >/tmp/wanted
    for word in $removed; do
        ! grep -qx "$word" /tmp/wanted || still_needed "$word"
    done
}

still_needed() {
    local name by=
    while read -r name; do
        [[ ",$(field "$name" 4)," != *",$1,"* ]] || by+=" $name"
    done </tmp/wanted
    fail "PHP_EXTENSIONS takes out \`$1\`, which is needed by:$by" "Take these out as well."
}

unknown_extension() {
    fail "PHP_EXTENSIONS names an unknown extension: \`$1\`" "Known are: $(known default | xargs)
       and, not in the default set: $(known extra | xargs) $(known implied | xargs)"
}

# Adds what others need, to the names on stdin.
with_needed() {
    local name need
    while read -r name; do
        echo "$name"
        for need in $(field "$name" 4 | tr , ' '); do
            [ "$need" = - ] || with_needed <<<"$need"
        done
    done | sort -u
}

# Splits the names on stdin into those that this link can hold, and a text about the others.
choose_for_link() {
    local name
    while read -r name; do
        if [ "$LINK" = static ] && [ "$(field "$name" 3)" = no ]; then
            printf '%s: %s\n' "$name" "$(reason "$name")" >>"$1/left-out"
        else
            echo "$name" >>"$1/extensions"
        fi
    done
}

check_versions() {
    local name module wanted got
    for name in FRANKENPHP:github.com/dunglas/frankenphp/caddy CADDY:github.com/caddyserver/caddy/v2; do
        module=${name#*:} name=${name%%:*}_VERSION
        wanted=$(pin "$name" "$here/pins.env")
        got=$(awk -v m="$module" '$1 == m { print $2; exit } $1 == "require" && $2 == m { print $3; exit }' "$here/frankenphp/go.mod")
        [ "$wanted" = "$got" ] || fail "pins.env says $name=$wanted, but frankenphp/go.mod requires $module $got" \
            "Make them agree: edit pins.env, or run \`go get $module@$wanted && go mod tidy\` in builder/frankenphp."
    done
}

# configure's options for the names in $1/extensions, and what depends on more than one name.
configure_options() {
    local name
    while read -r name; do options "$name"; done <"$1/extensions"
    if grep -qx redis "$1/extensions" && grep -qx igbinary "$1/extensions"; then
        echo --enable-redis-igbinary
    fi
    if grep -qx mbstring "$1/extensions" && [ "$LINK" = static ]; then
        echo --disable-mbregex
        echo "mb_ereg functions of mbstring: Debian has no static libonig" >>"$1/left-out"
    fi
}

stage_settings() {
    local out=/settings
    mkdir -p "$out"
    check_versions
    case $LINK in
    shared | static) ;;
    *) fail "LINK is \`$LINK\`; it can be \`shared\` or \`static\`" ;;
    esac

    wanted_extensions "$PHP_EXTENSIONS"
    touch "$out/extensions" "$out/left-out"
    choose_for_link "$out" </tmp/wanted
    configure_options "$out" >"$out/configure-options"

    say "$(wc -l <"$out/extensions") extensions, LINK=$LINK: $(xargs <"$out/extensions")"
    [ ! -s "$out/left-out" ] || warn "left out of a static binary:
$(sed 's/^/    /' "$out/left-out")"
}
