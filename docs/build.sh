#!/usr/bin/env bash
# Builds the manual into docs/book, with the mdBook of this version, which is installed once beside the build's outputs,
# without optimization: it compiles in half the time and builds the book in a second.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.5.4
tools="${CARGO_TARGET_DIR:-$PWD/target}/tools"
mdbook="$tools/bin/mdbook"
[ "$("$mdbook" --version 2>/dev/null)" = "mdbook v$version" ] ||
  CARGO_PROFILE_RELEASE_OPT_LEVEL=0 cargo install mdbook --version "$version" --locked --no-default-features --quiet --root "$tools" \
    --target-dir "$tools/build"
rm -rf "$tools/build" docs/book

# mdBook warns and goes on: here a warning is an error.
log=$("$mdbook" build docs 2>&1) || { echo "$log" >&2; exit 1; }
if grep -E 'WARN|ERROR' <<<"$log"; then exit 1; fi

# mdBook takes every link to a .md file for one to a chapter. Those that leave the book mean the file itself.
sed -i -E 's#(href="\.\./[^":]*)\.html(["\#])#\1.md\2#g' docs/book/*.html

# Nothing that the pages load comes from elsewhere.
if grep -nE '(<script[^>]*src|<img[^>]*src|<link[^>]*href|@import|url\()[^>]{0,20}(https?:)?//' docs/book/*.html docs/book/css/*.css; then
  echo "the book loads this from the network" >&2
  exit 1
fi
echo docs/book/index.html
