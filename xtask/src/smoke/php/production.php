<?php
// Settings for which PHP's defaults are for development, and which the image must have for
// production.

require __DIR__ . '/lib.php';

$names = ['zend.assertions', 'variables_order', 'display_errors', 'expose_php', 'register_argc_argv', 'session.cookie_secure',
    'session.cookie_httponly', 'session.use_strict_mode', 'zend.exception_ignore_args', 'enable_dl', 'allow_url_include'];
$settings = array_combine($names, array_map(ini_get(...), $names));
json(['settings' => $settings, 'environment' => count($_ENV), 'path' => getenv('PATH') !== false]);
