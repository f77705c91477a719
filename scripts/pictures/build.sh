#!/bin/sh
# Bundles panels.jsx with Perses' components from npm: build.sh FOLDER. FOLDER/panels.js is what comes out.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$1
mkdir -p "$folder"
cp "$here/package.json" "$here/panels.jsx" "$folder"
cd "$folder"
# Perses' plugins name other versions of their peers than Perses' own packages of the same release.
npm install --no-audit --no-fund --no-package-lock --legacy-peer-deps
# Each library once: some are asked for as modules and as CommonJS.
modules=./node_modules
npx esbuild panels.jsx --bundle --minify --outfile=panels.js --define:global=globalThis \
    --define:process.env.NODE_ENV='"production"' --loader:.woff=dataurl --loader:.woff2=dataurl \
    --alias:@tanstack/react-query=$modules/@tanstack/react-query/build/lib/index.mjs \
    --alias:@perses-dev/dashboards=$modules/@perses-dev/dashboards/dist/index.js \
    --alias:@perses-dev/plugin-system=$modules/@perses-dev/plugin-system/dist/index.js \
    --alias:@perses-dev/components=$modules/@perses-dev/components/dist/index.js
