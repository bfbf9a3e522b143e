<?php
// Images: drawn, written and read in each format, with text in the built-in font and in a TrueType
// font.

require __DIR__ . '/lib.php';
require __DIR__ . '/font.php';

function draw(): GdImage
{
    $image = imagecreatetruecolor(160, 48);
    imagefill($image, 0, 0, imagecolorallocate($image, 255, 255, 255));
    imagestring($image, 5, 4, 4, 'Durango', imagecolorallocate($image, 0, 0, 0));
    return $image;
}

function dark(GdImage $image): int
{
    $count = 0;
    for ($x = 0; $x < imagesx($image); $x++) {
        for ($y = 0; $y < imagesy($image); $y++) {
            $count += (imagecolorat($image, $x, $y) & 0xFF) < 0x60 ? 1 : 0;
        }
    }
    return $count;
}

function encoded(callable $write, GdImage $image): string
{
    ob_start();
    $write($image);
    return ob_get_clean();
}

/** A JPEG of nothing but an EXIF segment with one tag, and the start of a scan, where EXIF readers stop. */
function jpeg_with_orientation(int $orientation): string
{
    $tiff = 'II' . pack('vV', 42, 8) . pack('v', 1) . pack('vvVvv', 0x0112, 3, 1, $orientation, 0) . pack('V', 0);
    $segment = "Exif\0\0" . $tiff;
    return "\xFF\xD8\xFF\xE1" . pack('n', strlen($segment) + 2) . $segment . "\xFF\xDA\0\2\xFF\xD9";
}

answer([
    'gd' => function (): string {
        $formats = ['png' => "\x89PNG", 'jpeg' => "\xFF\xD8\xFF", 'webp' => 'RIFF', 'gif' => 'GIF8'];
        $drawn = dark(draw());
        expect($drawn > 150, "imagestring: expected text, saw $drawn dark pixels");
        foreach ($formats as $format => $magic) {
            expect(function_exists("image$format"), "gd has no $format");
            $bytes = encoded("image$format", draw());
            expect(str_starts_with($bytes, $magic), "$format: saw " . bin2hex(substr($bytes, 0, 8)));
            $again = imagecreatefromstring($bytes);
            same([160, 48], [imagesx($again), imagesy($again)], "size of a $format");
            imagepalettetotruecolor($again);
            $kept = dark($again);
            expect(abs($kept - $drawn) < $drawn / 3, "$format: expected about $drawn dark pixels, saw $kept");
        }
        expect(function_exists('imagettftext'), 'gd has no FreeType');
        $image = draw();
        imagettftext($image, 20, 0, 100, 40, imagecolorallocate($image, 0, 0, 0), font_file(), 'AA');
        $boxes = dark($image) - $drawn;
        expect($boxes > 100, "imagettftext: expected two boxes, saw $boxes dark pixels");
        return 'png, jpeg, webp, gif with text; TrueType text by FreeType; GD ' . (gd_info()['GD Version'] ?? '');
    },
    'exif' => function (): string {
        $stream = fopen('php://memory', 'w+');
        fwrite($stream, jpeg_with_orientation(6));
        rewind($stream);
        same(6, exif_read_data($stream)['Orientation'] ?? null, 'orientation');
        return 'orientation read';
    },
    'fileinfo' => function (): string {
        $known = ["\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\0\0\0\0" => 'image/png', "%PDF-1.7\n" => 'application/pdf', '<?php echo 1;' => 'text/x-php'];
        foreach ($known as $bytes => $type) {
            same($type, (new finfo(FILEINFO_MIME_TYPE))->buffer((string) $bytes), 'type');
        }
        return implode(', ', $known);
    },
]);
