<?php
// The smallest TrueType font that FreeType accepts, for images without a font. Its one glyph is a
// box.

declare(strict_types=1);

function font_file(): string
{
    $path = scratch('.ttf');
    file_put_contents($path, font());
    return $path;
}

/** 1000 units an em; glyph 0 is a box of 100..700 by 0..700, and "A" is drawn with it. */
function font(): string
{
    $box = pack('n5', 1, 100, 0, 700, 700)               // one contour and its bounds
        . pack('n2', 3, 0)                               // last point of the contour; no instructions
        . pack('C4', 1, 1, 1, 1)                         // four points, all on the curve, with long deltas
        . pack('n4', 100, 0, 600, 0) . pack('n4', 0, 700, 0, 0x10000 - 700);
    $map = pack('n4', 4, 32, 0, 4) . pack('n3', 4, 1, 0) // format 4, two segments
        . pack('n5', 65, 0xFFFF, 0, 65, 0xFFFF) . pack('n4', 0x10000 - 65, 1, 0, 0);
    return assemble([
        'cmap' => pack('n4N', 0, 1, 3, 1, 12) . $map,
        'glyf' => $box,
        'head' => pack('N4', 0x10000, 0x10000, 0, 0x5F0F3CF5) . pack('n2', 0, 1000) . str_repeat("\0", 16)
            . pack('n9', 100, 0, 700, 700, 0, 8, 2, 1, 0),
        'hhea' => pack('Nn3', 0x10000, 800, 0x10000 - 200, 0) . pack('n', 800) . str_repeat("\0", 22) . pack('n', 1),
        'hmtx' => pack('n2', 800, 100),
        'loca' => pack('N2', 0, strlen($box)),
        'maxp' => pack('Nn', 0x10000, 1) . pack('n13', 4, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0),
    ]);
}

/** Puts tables behind their directory; nothing checks their sums. */
function assemble(array $tables): string
{
    $directory = pack('Nn4', 0x10000, count($tables), 64, 2, 48);
    $offset = 12 + 16 * count($tables);
    $content = '';
    foreach ($tables as $tag => $bytes) {
        $directory .= $tag . pack('N3', 0, $offset + strlen($content), strlen($bytes));
        $content .= str_pad($bytes, 4 * intdiv(strlen($bytes) + 3, 4), "\0");
    }
    return $directory . $content;
}
