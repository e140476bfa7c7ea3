/** The version of the package, as the catalog shows it of every router. */
export const VERSION = '0.1.0';
