<?php

require __DIR__ . '/lib.php';

$names = array_map(strtolower(...), array_merge(get_loaded_extensions(), get_loaded_extensions(true)));
json(['php' => PHP_VERSION, 'sapi' => PHP_SAPI, 'zts' => (bool) PHP_ZTS, 'debug' => (bool) PHP_DEBUG, 'extensions' => array_values(array_unique($names))]);
