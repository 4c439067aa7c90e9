//! A store with very many transfers, made of one by the database itself.

use sqlx::{AssertSqlSafe, Row};

/// Multiplies the transfers that stand in a store by copies of one of them; answers with
/// the code that comes before the last page of `page`.
pub fn fill(database: Option<&str>, data: &std::path::Path, rows: usize, page: usize) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let last = format!("SELECT code FROM transfers ORDER BY id LIMIT 1 OFFSET {page}");
        match database {
            Some(url) => {
                let pool = sqlx::PgPool::connect(url).await.unwrap();
                let columns = "SELECT column_name FROM information_schema.columns
                               WHERE table_name = 'transfers' AND table_schema = 'public'
                               ORDER BY ordinal_position";
                let columns = sqlx::query(columns).fetch_all(&pool).await.unwrap();
                let columns: Vec<String> = columns.iter().map(|row| row.get(0)).collect();
                let series = format!("generate_series(1, {rows}) AS n(value)");
                let id = "('00000000-0000-4000-8000-' || lpad(to_hex(n.value), 12, '0'))::uuid";
                let text = copies(&columns, id, &series);
                sqlx::query(AssertSqlSafe(text)).execute(&pool).await.unwrap();
                sqlx::query("ANALYZE").execute(&pool).await.unwrap();
                sqlx::query(AssertSqlSafe(last)).fetch_one(&pool).await.unwrap().get(0)
            }
            None => {
                let file = format!("sqlite://{}", data.join("databridge.db").display());
                let pool = sqlx::SqlitePool::connect(&file).await.unwrap();
                let columns = "SELECT name FROM pragma_table_info('transfers')";
                let columns = sqlx::query(columns).fetch_all(&pool).await.unwrap();
                let columns: Vec<String> = columns.iter().map(|row| row.get(0)).collect();
                let series = format!(
                    "(WITH RECURSIVE s(value) AS
                      (SELECT 1 UNION ALL SELECT value + 1 FROM s WHERE value < {rows})
                      SELECT value FROM s) AS n"
                );
                let id = "printf('00000000-0000-4000-8000-%012x', n.value)";
                let text = copies(&columns, id, &series);
                sqlx::query(AssertSqlSafe(text)).execute(&pool).await.unwrap();
                let code = sqlx::query(AssertSqlSafe(last)).fetch_one(&pool).await.unwrap().get(0);
                pool.close().await;
                code
            }
        }
    })
}

fn copies(columns: &[String], id: &str, series: &str) -> String {
    let values = columns.iter().map(|column| match column.as_str() {
        "id" => id.to_owned(),
        "code" => "'COPY-' || n.value".to_owned(),
        "path_key" => "t.path_key || '-' || n.value".to_owned(),
        other => format!("t.{other}"),
    });
    let (names, values) = (columns.join(", "), values.collect::<Vec<_>>().join(", "));
    format!(
        "INSERT INTO transfers ({names}) SELECT {values}
         FROM (SELECT * FROM transfers ORDER BY id LIMIT 1) AS t, {series}"
    )
}
