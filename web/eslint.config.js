import lit from "eslint-plugin-lit";
import wc from "eslint-plugin-wc";
import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["dist", "dist-gallery", "dist-page", "dist-size", "dist-examples*", "src/api.ts"] },
  {
    files: ["**/*.ts", "**/*.tsx"],
    extends: [
      ...tseslint.configs.recommendedTypeChecked,
      lit.configs["flat/recommended"],
      wc.configs["flat/recommended"],
    ],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      "@typescript-eslint/no-unused-vars": [
        "error",
        { varsIgnorePattern: "^_", argsIgnorePattern: "^_" },
      ],
      "@typescript-eslint/switch-exhaustiveness-check": "off",
      // Listeners of events may be asynchronous.
      "@typescript-eslint/no-misused-promises": ["error", { checksVoidReturn: false }],
      // The base class is not defined under a name.
      "wc/guard-super-call": "off",
      // Characters that cannot be seen are what the expression looks for.
      "no-control-regex": "off",
      "no-misleading-character-class": "off",
      "lit/no-invalid-html": "error",
      "lit/no-value-attribute": "off",
      "lit/attribute-value-entities": "off",
    },
  },
);
