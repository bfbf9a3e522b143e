# shellcheck shell=bash
# Checks before anything is downloaded or compiled: the requested extensions, LINK, and that the
# pins and go.mod have the same versions. This takes a second, so a typo costs no more than that.

conf=$here/extensions.conf

known() { awk -v set="$1" '/^[^#]/ && (set == "any" || $2 == set) { print $1 }' "$conf"; }
field() { awk -v name="$1" -v n="$2" '/^[^#]/ && $1 == name { print $n }' "$conf"; }
reason() { sed -n "s/^$1 .*# //p" "$conf"; }
options() { sed -nE "s/^$1( +[^ ]+){4} +//p" "$conf" | sed 's/ *#.*//'; }

# wanted_extensions REQUEST : writes the names of a full list ("gd intl") or of changes to the
# default ("+dba -xsl"), with their dependencies, to /tmp/wanted. Commas separate names as well as
# spaces.
wanted_extensions() {
    local word request=${1//,/ } removed=
    local -A wanted=()
    # Changes alone start from the default set. Changes after a list apply to the list.
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
    for word in $(known always); do wanted[$word]=1; done
    printf '%s\n' "${!wanted[@]}" | sed '/^$/d' | with_needed >/tmp/wanted
    for word in $removed; do
        ! grep -qx "$word" /tmp/wanted || still_needed "$word"
    done
}

still_needed() {
    local name by=
    [ "$(field "$1" 2)" != always ] || fail "PHP_EXTENSIONS removes \`$1\`: $(reason "$1")" "Keep it."
    while read -r name; do
        [[ ",$(field "$name" 5)," != *",$1,"* ]] || by+=" $name"
    done </tmp/wanted
    fail "PHP_EXTENSIONS removes \`$1\`, which is needed by:$by" "Remove these as well."
}

unknown_extension() {
    fail "PHP_EXTENSIONS names an unknown extension: \`$1\`" "Known extensions: $(known default | xargs)
       and, not in the default set: $(known extra | xargs) $(known implied | xargs)
       and, in every set: $(known always | xargs)"
}

# Adds dependencies to the names on stdin.
with_needed() {
    local name need
    while read -r name; do
        echo "$name"
        for need in $(field "$name" 5 | tr , ' '); do
            [ "$need" = - ] || with_needed <<<"$need"
        done
    done | sort -u
}

# Splits the names on stdin into the extensions that this link supports and a text about the others.
choose_for_link() {
    local name
    while read -r name; do
        if [ "$LINK" = static ] && [ "$(field "$name" 4)" = no ]; then
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

# Prints the names on stdin that have the form $1.
of_form() {
    local name
    while read -r name; do
        [ "$(field "$name" 3)" != "$1" ] || echo "$name"
    done
}

# All extensions are always compiled, but a static binary takes no more than the requested ones.
configure_options() {
    local name suffix
    if [ "$LINK" = static ]; then
        while read -r name; do options "$name"; done <"$1/extensions"
        if grep -qx mbstring "$1/extensions"; then
            echo --disable-mbregex
            echo "mb_ereg functions of mbstring: Debian has no static libonig" >>"$1/left-out"
        fi
        return
    fi
    for name in $(known any); do
        suffix=
        [ "$(field "$name" 3)" != so ] || suffix='=shared'
        options "$name" | sed -E "s/^([^ ]+)/\\1$suffix/"
    done
}

# Prints the archives that the last link leaves out.
unlinked() { known any | of_form ar | grep -vxFf "$1/extensions" || true; }

# Prints each shared object after its dependencies.
load_order() {
    local name
    of_form so <"$1/extensions" | while read -r name; do
        with_needed_first "$name"
    done | awk '!seen[$1]++' | of_form so
}

with_needed_first() {
    local need
    for need in $(field "$1" 5 | tr , ' '); do
        [ "$need" = - ] || with_needed_first "$need"
    done
    echo "$1"
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
    unlinked "$out" >"$out/unlinked"
    if [ "$LINK" = shared ]; then load_order "$out"; fi >"$out/shared-objects"

    say "$(wc -l <"$out/extensions") extensions, LINK=$LINK: $(xargs <"$out/extensions")"
    [ ! -s "$out/left-out" ] || warn "left out of a static binary:
$(sed 's/^/    /' "$out/left-out")"
}
