<?php
// Text: languages, encodings, tokens.

require __DIR__ . '/lib.php';

answer([
    'intl' => function (): string {
        $words = ['zebra', 'Ähre', 'apfel'];
        foreach (['de' => ['Ähre', 'apfel', 'zebra'], 'sv' => ['apfel', 'zebra', 'Ähre']] as $locale => $sorted) {
            (new Collator($locale))->sort($words);
            same($sorted, $words, "words sorted in $locale");
        }
        same('1.234.567,891', (new NumberFormatter('de', NumberFormatter::DECIMAL))->format(1234567.891), 'a number in German');
        same("e\u{301}", Normalizer::normalize("\u{e9}", Normalizer::NFD), 'decomposition');
        $date = IntlDateFormatter::formatObject(new DateTimeImmutable('2026-11-22 UTC'), 'd MMMM y', 'fr');
        same('22 novembre 2026', $date, 'a date in French');
        return 'collation de and sv, numbers, dates; ICU ' . INTL_ICU_VERSION;
    },
    'mbstring' => function (): string {
        same('ÄÖÜß€', mb_convert_encoding(mb_convert_encoding('ÄÖÜß€', 'CP1252', 'UTF-8'), 'UTF-8', 'CP1252'), 'CP1252 and back');
        same('日本', mb_convert_encoding("\x93\xfa\x96\x7b", 'UTF-8', 'SJIS'), 'from Shift JIS');
        same('ÉTÉ', mb_strtoupper('été'), 'upper case');
        if (!function_exists('mb_ereg')) {
            return 'conversions; without mb_ereg';
        }
        expect(mb_ereg('^(日+)本$', '日日本', $parts), 'mb_ereg: expected a match, saw none');
        same('日日', $parts[1], 'mb_ereg');
        return 'conversions; mb_ereg by Oniguruma ' . MB_ONIGURUMA_VERSION;
    },
    'iconv' => function (): string {
        same("\xA4", iconv('UTF-8', 'ISO-8859-15', '€'), 'to ISO-8859-15');
        same('日本', iconv('EUC-JP', 'UTF-8', "\xC6\xFC\xCB\xDC"), 'from EUC-JP');
        same("\0A", iconv('UTF-8', 'UTF-16BE', 'A'), 'to UTF-16BE');
        return 'ISO-8859-15, EUC-JP, UTF-16BE; ' . ICONV_IMPL . ' ' . ICONV_VERSION;
    },
    'ctype' => function (): string {
        same([true, false], [ctype_alpha('abc'), ctype_alpha('a1')], 'ctype_alpha');
        return 'ctype_alpha';
    },
    'tokenizer' => function (): string {
        $names = array_map(fn (PhpToken $token) => $token->getTokenName(), PhpToken::tokenize('<?php echo 1;'));
        same(['T_OPEN_TAG', 'T_ECHO', 'T_WHITESPACE', 'T_LNUMBER', ';'], $names, 'tokens');
        return count($names) . ' tokens';
    },
    'filter' => function (): string {
        same([42, false], [filter_var('42', FILTER_VALIDATE_INT), filter_var('a@', FILTER_VALIDATE_EMAIL)], 'filters');
        return 'an integer taken, an address refused';
    },
    'calendar' => function (): string {
        same(2451545, gregoriantojd(1, 1, 2000), 'Julian day of 2000-01-01');
        return 'Julian days';
    },
    'gettext' => function (): string {
        same('unknown', gettext('unknown'), 'a text without a translation');
        return 'texts pass';
    },
    'tidy' => function (): string {
        $page = tidy_repair_string('<p>one<p>two', ['show-body-only' => true]);
        same(2, substr_count($page, '</p>'), 'closing tags');
        return 'a repaired page; tidy ' . tidy_get_release();
    },
]);
