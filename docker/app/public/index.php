<?php

declare(strict_types=1);

$extensions = get_loaded_extensions();
sort($extensions, SORT_FLAG_CASE | SORT_STRING);
$opcache = function_exists('opcache_get_status') ? opcache_get_status(false) : false;
$facts = [
    'PHP' => PHP_VERSION . (PHP_ZTS ? ', thread-safe' : ''),
    'Server' => $_SERVER['SERVER_SOFTWARE'] ?? PHP_SAPI,
    'opcache' => $opcache === false ? 'not loaded' : ($opcache['opcache_enabled'] ? 'on' : 'off'),
    'Protocol' => $_SERVER['SERVER_PROTOCOL'] ?? '',
];
$text = static fn (string $value): string => htmlspecialchars($value, ENT_QUOTES | ENT_SUBSTITUTE);
?>
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>FrankenPHP works</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem; color: #223; background: #fafafc; }
  h1 { margin-bottom: 0; }
  dl { display: grid; grid-template-columns: 7rem 1fr; gap: .25rem 1rem; }
  dt { color: #667; }
  dd { margin: 0; }
  code { display: inline-block; margin: .1rem; padding: 0 .4rem; border-radius: .3rem; background: #e8e9f3; }
</style>
<h1>It works</h1>
<p>This page is served by FrankenPHP, built from source. Put your application in its place.</p>
<dl>
<?php foreach ($facts as $name => $value) { ?>
  <dt><?= $text($name) ?></dt><dd><?= $text($value) ?></dd>
<?php } ?>
</dl>
<h2><?= count($extensions) ?> extensions</h2>
<p><?= implode("\n", array_map(static fn (string $name): string => "<code>{$text($name)}</code>", $extensions)) ?></p>
</html>
